# The flow compiler: pure (see build-aux/check-layers).
noinst_LTLIBRARIES += flows/libflows.la
flows_libflows_la_SOURCES = \
	flows/build.c flows/build.h \
	flows/compile.c flows/compile.h \
	flows/cookie.c flows/cookie.h \
	flows/fields.h \
	flows/flow-input.h \
	flows/flow-set.c flows/flow-set.h \
	flows/pipeline.c flows/pipeline.h \
	flows/punt.c \
	flows/tables.h \
	flows/table-arp-nd.c \
	flows/table-classify.c \
	flows/table-l3-forward.c \
	flows/table-mtu.c \
	flows/table-nd-answer.c \
	flows/table-output.c \
	flows/table-spoof-guard.c \
	flows/table-transit.c
