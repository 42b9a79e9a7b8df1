# The flow compiler: pure (see build-aux/check-layers).
noinst_LTLIBRARIES += flows/libflows.la
flows_libflows_la_SOURCES = \
	flows/build.c flows/build.h \
	flows/compile.c flows/compile.h \
	flows/cookie.c flows/cookie.h \
	flows/fields.h \
	flows/flow-input.h \
	flows/flow-set.c flows/flow-set.h \
	flows/group-entry.c \
	flows/pipeline.c flows/pipeline.h \
	flows/policy-flow.c flows/policy-flow.h \
	flows/policy-l4.c \
	flows/punt.c \
	flows/service-flow.c flows/service-flow.h \
	flows/tables.h \
	flows/table-arp-nd.c \
	flows/table-classify.c \
	flows/table-conntrack.c \
	flows/table-ct-commit.c \
	flows/table-ct-state.c \
	flows/table-fragment.c \
	flows/table-identity.c \
	flows/table-l3-forward.c \
	flows/table-l4.c \
	flows/table-mtu.c \
	flows/table-nd-answer.c \
	flows/table-output.c \
	flows/table-policy.c \
	flows/table-service.c \
	flows/table-spoof-guard.c \
	flows/table-track.c \
	flows/table-transit.c \
	flows/table-verdict.c

# The pipeline's documentation, printed from the headers; committed, and tests/golden/pipeline-doc-fresh compares.
noinst_PROGRAMS += flows/pipeline-doc
flows_pipeline_doc_SOURCES = flows/pipeline-doc.c
flows_pipeline_doc_LDADD = flows/libflows.la lib/libsluice.la lib/libsluice-base.la $(OVS_LIBS)
EXTRA_DIST += flows/PIPELINE.md
update-pipeline-doc: flows/pipeline-doc
	top_srcdir='$(abs_top_srcdir)' top_builddir='$(abs_top_builddir)' $(srcdir)/tests/golden/pipeline-doc-fresh --update
.PHONY: update-pipeline-doc
