# sluicectl.
bin_PROGRAMS += utilities/sluicectl
utilities_sluicectl_SOURCES = \
	utilities/compile.c \
	utilities/compile-service.c utilities/compile-service.h \
	utilities/ctl-client.c utilities/ctl-client.h \
	utilities/flow-stats.c utilities/flow-stats.h \
	utilities/policies.c \
	utilities/service-counters.c utilities/service-counters.h \
	utilities/services.c \
	utilities/sluicectl.c utilities/sluicectl.h \
	utilities/trace.c \
	utilities/trace-facts.c utilities/trace-facts.h \
	utilities/trace-packet.c utilities/trace-packet.h \
	utilities/trace-parse.c utilities/trace-parse.h \
	utilities/trace-policy.c \
	utilities/trace-service.c utilities/trace-service.h \
	utilities/trace-who.c utilities/trace-who.h \
	utilities/trace-verdict.c
utilities_sluicectl_LDADD = controller/libcontroller.la flows/libflows.la lib/libsluice.la lib/libsluice-base.la $(YAML_LIBS) $(JANSSON_LIBS) $(OVS_LIBS)
dist_man_MANS += utilities/sluicectl.8
