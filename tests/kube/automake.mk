# Tests against a real API server without kubelets: the server (tests/k8s-rig), a proxy that fails on command.
EXTRA_DIST += tests/kube/apiserver.py tests/kube/proxy.py tests/kube/history.py
EXTRA_DIST += tests/system/kubelab.py tests/system/test-lab-kubernetes.py tests/system/test-kube-sources.py tests/system/test-kube-service-cidrs.py tests/system/test-kube-api.py
EXTRA_DIST += tests/system/test-kube-report.py tests/system/test-kube-client.py
EXTRA_DIST += tests/system/test-kube-daemon.py
check_PROGRAMS += tests/kube/kube-watch
tests_kube_kube_watch_SOURCES = tests/kube/kube-watch.c
tests_kube_kube_watch_CPPFLAGS = $(AM_CPPFLAGS)
tests_kube_kube_watch_LDADD = lib/libsluice-kube.la lib/libsluice.la lib/libsluice-base.la $(OVS_LIBS) $(JANSSON_LIBS) $(YAML_LIBS) \
	$(CURL_LIBS)
EXTRA_DIST += tests/kube/crd-clusternetworkpolicies.yaml
check_PROGRAMS += tests/kube/report-driver
tests_kube_report_driver_SOURCES = tests/kube/report-driver.c
tests_kube_report_driver_CPPFLAGS = $(AM_CPPFLAGS)
tests_kube_report_driver_LDADD = controller/libcontroller.la flows/libflows.la lib/libsluice-kube.la $(SYSTEM_LDADD) $(CURL_LIBS)
