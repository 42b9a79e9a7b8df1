# Tests against a real API server without kubelets: the server (tests/k8s-rig), a proxy that fails on command.
EXTRA_DIST += tests/kube/apiserver.py tests/kube/proxy.py
EXTRA_DIST += tests/system/test-kube-report.py
