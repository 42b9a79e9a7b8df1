# sluicectl.
bin_PROGRAMS += utilities/sluicectl
utilities_sluicectl_SOURCES = utilities/sluicectl.c utilities/sluicectl.h utilities/compile.c
utilities_sluicectl_LDADD = controller/libcontroller.la flows/libflows.la lib/libsluice.la lib/libsluice-base.la $(YAML_LIBS) $(JANSSON_LIBS) $(OVS_LIBS)
dist_man_MANS += utilities/sluicectl.8
