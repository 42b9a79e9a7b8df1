"""The parts of sluice-lab; each module's first lines say what it is for.

layout    names, addresses and paths of a lab; its options, kept in lab.json
netns     network namespaces, entered by thread
procs     processes of a lab: start, find, end
underlay  the wire between the nodes, and "outside"
node      one node: ovsdb-server, ovs-vswitchd, sluiced
objects   Kubernetes objects: reading, defaults, the lab's directory of manifests
kubeapi   a small client of the Kubernetes API
cluster   a lab on a real API server: its objects, the verbs, what a node needs for it
agent     the kubelets of such a lab
cni       the container runtime's side of CNI, after libcni
kubelet   scheduler and kubelet: sandboxes, ADD and DEL, status, responders
probe     asks from within namespaces whether something answers
cli       the verbs
"""
