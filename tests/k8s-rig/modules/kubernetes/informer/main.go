// Informer is what a client in Go does with the collections that sluiced watches: shared informers of client-go, nothing else.
// tests/bench/bench-kube compares time and memory with it.
//
//	informer KUBECONFIG [full|lean]
//
// When all are synced it prints one line of JSON and waits until its standard input ends.  "lean" drops what a network agent does
// not read from each object, as the peers' own transforms do.
package main

import (
	"encoding/json"
	"io"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func lean(object any) (any, error) {
	if accessor, err := meta.Accessor(object); err == nil {
		accessor.SetManagedFields(nil)
		accessor.SetAnnotations(nil)
	}
	if pod, ok := object.(*corev1.Pod); ok {
		ports := []corev1.Container{}
		for _, container := range pod.Spec.Containers {
			ports = append(ports, corev1.Container{Name: container.Name, Ports: container.Ports})
		}
		pod.Spec = corev1.PodSpec{NodeName: pod.Spec.NodeName, HostNetwork: pod.Spec.HostNetwork, Containers: ports}
		pod.Status = corev1.PodStatus{Phase: pod.Status.Phase, PodIP: pod.Status.PodIP, PodIPs: pod.Status.PodIPs}
	}
	return object, nil
}

func main() {
	config, err := clientcmd.BuildConfigFromFlags("", os.Args[1])
	must(err)
	config.QPS = -1
	config.ContentType = "application/vnd.kubernetes.protobuf"
	config.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	clients, err := kubernetes.NewForConfig(config)
	must(err)

	begin := time.Now()
	options := []informers.SharedInformerOption{}
	if len(os.Args) > 2 && os.Args[2] == "lean" {
		options = append(options, informers.WithTransform(lean))
	}
	factory := informers.NewSharedInformerFactoryWithOptions(clients, 0, options...)
	all := map[string]cache.SharedIndexInformer{
		"pods":            factory.Core().V1().Pods().Informer(),
		"nodes":           factory.Core().V1().Nodes().Informer(),
		"namespaces":      factory.Core().V1().Namespaces().Informer(),
		"services":        factory.Core().V1().Services().Informer(),
		"endpointslices":  factory.Discovery().V1().EndpointSlices().Informer(),
		"networkpolicies": factory.Networking().V1().NetworkPolicies().Informer(),
	}
	factory.Start(nil)
	factory.WaitForCacheSync(nil)

	result := map[string]any{"seconds": time.Since(begin).Seconds()}
	for name, informer := range all {
		result[name] = len(informer.GetStore().ListKeys())
	}
	must(json.NewEncoder(os.Stdout).Encode(result))
	_, _ = io.Copy(io.Discard, os.Stdin)
}
