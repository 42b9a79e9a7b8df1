# Topics for operators and developers.
dist_doc_DATA += docs/architecture.md docs/debugging.md docs/decisions.md docs/install.md
dist_doc_DATA += docs/cni.md
EXTRA_DIST += deploy/rbac.yaml deploy/rbac-node-restriction.yaml deploy/sluiced.service
dist_doc_DATA += docs/configuration.md
dist_doc_DATA += docs/mtu.md
dist_doc_DATA += docs/datapaths.md
dist_doc_DATA += docs/uplink.md
dist_doc_DATA += docs/ipam.md docs/kubernetes.md
dist_doc_DATA += docs/performance.md docs/policy-rules.svg
dist_doc_DATA += docs/policy.md
dist_doc_DATA += docs/services.md
