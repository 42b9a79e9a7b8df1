# sluice-lab: a cluster of simulated nodes on one machine.  sluice-lab(1) tells how to use it.
LABKIT = tests/lab/labkit/__init__.py tests/lab/labkit/agent.py tests/lab/labkit/cluster.py tests/lab/labkit/cli.py tests/lab/labkit/kubeapi.py tests/lab/labkit/cni.py tests/lab/labkit/kubelet.py \
	tests/lab/labkit/layout.py tests/lab/labkit/netns.py tests/lab/labkit/node.py tests/lab/labkit/objects.py \
	tests/lab/labkit/probe.py tests/lab/labkit/procs.py tests/lab/labkit/realnodes.py tests/lab/labkit/services.py tests/lab/labkit/underlay.py
EXTRA_DIST += tests/lab/sluice-lab $(LABKIT) tests/lab/test-labkit.py
dist_man_MANS += tests/lab/sluice-lab.1

# Static: it needs nothing of the root file system that it finds in a pod.  Without sanitizers: it is no part of the product.
noinst_PROGRAMS += tests/lab/lab-pod
tests_lab_lab_pod_SOURCES = tests/lab/lab-pod.c
tests_lab_lab_pod_CFLAGS = -std=gnu11 $(WARN_CFLAGS)
tests_lab_lab_pod_LDFLAGS = -all-static

TESTS += tests/lab/test-labkit.py

# The system tests' runner, what CI runs, and what the demo shows.
EXTRA_DIST += tests/system/run examples/demo/pods.yaml examples/demo/service.yaml
EXTRA_DIST += tests/system/test-service-plane.py
EXTRA_DIST += tests/system/test-lab-policy-domains.py
EXTRA_DIST += tests/system/labtest.py tests/system/frames.py tests/system/test-lab-encapsulation.py \
	tests/system/test-lab-forwarding.py tests/system/test-lab-known.py tests/system/test-lab-mtu.py tests/system/test-lab-nodes.py tests/system/test-lab-restarts.py tests/system/test-lab-spoofing.py tests/system/test-lab-verbs.py
dist_doc_DATA += docs/lab.md
EXTRA_DIST += tests/system/servicelab.py $(foreach topic,changes edge matrix policy traffic,tests/system/test-lab-service-$(topic).py)
EXTRA_DIST += tests/system/policylab.py tests/full/test-lab-policy-oracle.py $(foreach topic,cluster dynamics ipblock isolation oracle ports \
	restarts rules special,tests/system/test-lab-policy-$(topic).py)
