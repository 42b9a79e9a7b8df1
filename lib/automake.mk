# libsluice-base: what the plugin needs too; only libc and jansson.
# libsluice: mechanism on top of libopenvswitch.
noinst_LTLIBRARIES += lib/libsluice-base.la lib/libsluice.la

lib_libsluice_base_la_SOURCES = \
	lib/error.c lib/error.h \
	lib/fault.c lib/fault.h

lib_libsluice_la_SOURCES = \
	lib/inet.c lib/inet.h
