# libsluice-base: what the plugin needs too; only libc and jansson.
# libsluice: mechanism on top of libopenvswitch.
noinst_LTLIBRARIES += lib/libsluice-base.la lib/libsluice.la

lib_libsluice_base_la_SOURCES = \
	lib/error.c lib/error.h \
	lib/fault.c lib/fault.h
lib_libsluice_base_la_SOURCES += \
	lib/cni-conf.c lib/cni-env.c lib/cni-conf.h \
	lib/cni-wire.c lib/cni-wire-call.c lib/cni-wire-encode.c lib/cni-wire-parse.c lib/cni-wire.h \
	lib/cni-wire-server.c lib/cni-wire-server.h \
	lib/json-get.c lib/json-get.h \
	lib/spool.c lib/spool.h

lib_libsluice_la_SOURCES = \
	lib/dns-answer.c lib/dns-answer.h \
	lib/inet.c lib/inet.h \
	lib/intern.c lib/intern.h \
	lib/json-split.c lib/json-split.h \
	lib/numbers.c lib/numbers.h \
	lib/prefix-tree.c lib/prefix-tree.h \
	lib/repeat.c lib/repeat.h \
	lib/shares.c lib/shares.h \
	lib/yaml-json.c lib/yaml-json.h \
	lib/ovs-json.h
lib_libsluice_la_SOURCES += \
	lib/ethtool.c lib/ethtool.h \
	lib/netns.c lib/netns.h \
	lib/rtnl-events.c lib/rtnl-events.h \
	lib/rtnl.c lib/rtnl-ip.c lib/rtnl-rule.c lib/rtnl-private.h lib/rtnl.h
lib_libsluice_la_SOURCES += \
	lib/journal.c lib/journal.h \
	lib/journal-format.c lib/journal-format.h
lib_libsluice_base_la_SOURCES += lib/sd-notify.c lib/sd-notify.h

# libsluice-kube: the client of the Kubernetes API; the only part that needs libcurl.
noinst_LTLIBRARIES += lib/libsluice-kube.la
lib_libsluice_kube_la_SOURCES = lib/http.h lib/kube-client.h lib/kube-credentials.h lib/kube-reflector.h
lib_libsluice_kube_la_SOURCES += \
	lib/kube-credentials.c \
	lib/kubeconfig.c lib/kubeconfig.h \
	lib/pem.c lib/pem.h
lib_libsluice_kube_la_SOURCES += lib/kube-reflector.c lib/kube-reflector-body.c lib/kube-reflector-private.h
lib_libsluice_kube_la_SOURCES += lib/kube-client.c lib/http.c lib/http-error.c lib/http-pool.c lib/http-private.h lib/http-setup.c
