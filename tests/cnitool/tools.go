//go:build tools

// Package cnitool pins libcni's own command line runtime, which test-cni-conformance.py builds and runs the plugin with.
package cnitool

import _ "github.com/containernetworking/cni/cnitool"
