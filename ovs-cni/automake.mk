# The CNI plugin: static, only libsluice-base.  The parts that tests link are in a library.
cni_PROGRAMS += ovs-cni/ovs-cni
dist_man_MANS += ovs-cni/ovs-cni.8
noinst_LTLIBRARIES += ovs-cni/libovscni.la

ovs_cni_libovscni_la_SOURCES = \
	ovs-cni/result.c ovs-cni/result.h

ovs_cni_ovs_cni_SOURCES = \
	ovs-cni/daemon.c \
	ovs-cni/delegate.c ovs-cni/delegate.h \
	ovs-cni/main.c \
	ovs-cni/netns.c \
	ovs-cni/plugin.c ovs-cni/plugin.h \
	ovs-cni/release.c \
	ovs-cni/verb-add.c \
	ovs-cni/verb-check.c \
	ovs-cni/verb-del.c \
	ovs-cni/verb-gc.c \
	ovs-cni/verb-status.c \
	ovs-cni/verb-version.c
ovs_cni_ovs_cni_LDADD = ovs-cni/libovscni.la lib/libsluice-base.la $(JANSSON_LIBS)
ovs_cni_ovs_cni_LDFLAGS = $(AM_LDFLAGS)
if !SANITIZERS
ovs_cni_ovs_cni_LDFLAGS += -all-static
endif
