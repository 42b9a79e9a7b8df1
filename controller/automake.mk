# libcontroller: sluiced but its main(), so that tests and the simulator link the same code.
noinst_LTLIBRARIES += controller/libcontroller.la

controller_libcontroller_la_SOURCES = \
	controller/audit.c controller/audit.h \
	controller/config.c controller/config.h \
	controller/ctl.h \
	controller/domain.c controller/domain.h \
	controller/endpoints.c controller/endpoints.h \
	controller/kube-decode.c controller/kube-decode.h \
	controller/kube-clusternetworkpolicy.c controller/kube-endpointslice.c controller/kube-networkpolicy.c \
	controller/kube-schema.c controller/kube-schema.h controller/kube-selector.c \
	controller/kube-service.c controller/kube-servicecidr.c \
	controller/kube-policy.h controller/kube-service.h \
	controller/kube-node.c \
	controller/kube-pod.c \
	controller/kube-time.c \
	controller/kube-types.c controller/kube-types.h \
	controller/kube-uid.c \
	controller/labels.c controller/labels.h \
	controller/manifests.c controller/manifests.h \
	controller/node-input.c controller/node-input.h controller/peers.c controller/peers.h \
	controller/report.c controller/report.h \
	controller/source.c controller/source.h \
	controller/source-api.c controller/source-api.h \
	controller/source-dir.c controller/source-dir.h \
	controller/source-kind.c controller/source-kind.h \
	controller/store.c controller/store.h

controller_libcontroller_la_SOURCES += \
	controller/hostnet-conntrack.c \
	controller/hostnet-gateway.c \
	controller/hostnet-nft-list.c \
	controller/hostnet-nft.c \
	controller/hostnet-private.h \
	controller/hostnet-record.c \
	controller/hostnet-service-routes.c \
	controller/hostnet-service-rules.c \
	controller/hostnet-service.c \
	controller/hostnet-service.h \
	controller/hostnet-sysctl.c \
	controller/hostnet-uplink.c \
	controller/hostnet.c controller/hostnet.h \
	controller/mtu.c controller/mtu.h \
	controller/pod-link.c controller/pod-link.h

# The policy core.
controller_libcontroller_la_SOURCES += \
	controller/policy-match.c controller/policy-match.h controller/policy-match-private.h \
	controller/policy-match-index.c \
	controller/policy-match-ns.c \
	controller/policy-match-pods.c \
	controller/policy-match-term.c \
	controller/policy-match-visit.c

# The OVS database.
controller_libcontroller_la_SOURCES += \
	controller/ovsdb.c controller/ovsdb.h controller/ovsdb-internal.h \
	controller/ovsdb-base.c controller/ovsdb-conntrack.c controller/ovsdb-pods.c controller/ovsdb-port.c controller/ovsdb-rows.c \
	controller/datapath.c controller/datapath.h \
	controller/socket-watch.c controller/socket-watch.h \
	controller/neigh-kernel.c controller/neigh-kernel.h \
	controller/tnl-neigh.c controller/tnl-neigh.h \
	controller/vswitchd-ctl.c controller/vswitchd-ctl.h
controller_libcontroller_la_SOURCES += \
	controller/ipam.c controller/ipam.h \
	controller/ipam-pool.c controller/ipam-pool.h
controller_libcontroller_la_SOURCES += \
	controller/attachment.c controller/attachment.h controller/attachment-private.h \
	controller/attachment-add.c \
	controller/attachment-known.c \
	controller/attachment-ports.c \
	controller/attachment-record.c \
	controller/attachment-request.c \
	controller/attachment-step.c
controller_libcontroller_la_SOURCES += \
	controller/cni-server.c controller/cni-server.h \
	controller/health.c controller/health.h \
	controller/worker.c controller/worker.h

# OpenFlow: the core (of-state) and its shell.
controller_libcontroller_la_SOURCES += \
	controller/ct-audit.c controller/ct-audit.h controller/ct-entry.c controller/ct-entry.h \
	controller/of-bundle.c \
	controller/of-item.c controller/of-item.h \
	controller/of-msg.c controller/of-msg.h \
	controller/of-state.c controller/of-state.h controller/of-state-private.h \
	controller/ofctrl.c controller/ofctrl.h \
	controller/pinctrl.c controller/pinctrl.h \
	controller/punt-reply.c controller/punt-reply.h
controller_libcontroller_la_SOURCES += \
	controller/dataplane.c controller/dataplane.h controller/dataplane-private.h \
	controller/dataplane-cni.c \
	controller/dataplane-domain.c \
	controller/dataplane-link.c \
	controller/dataplane-node.c controller/dataplane-peers.c \
	controller/dataplane-pod.c \
	controller/dataplane-policy.c \
	controller/dataplane-report.c \
	controller/dataplane-service.c \
	controller/service-json.c controller/service-json.h
controller_libcontroller_la_SOURCES += \
	controller/ctl.c \
	controller/policy-status.c controller/policy-status.h \
	controller/status-policy.c \
	controller/status-service.c \
	controller/ctl-policy.c controller/ctl-policy.h \
	controller/ctl-service.c controller/ctl-service.h \
	controller/status-text.c controller/status-text.h \
	controller/status.c controller/status.h
controller_libcontroller_la_SOURCES += \
	controller/policy-explain.c controller/policy-explain.h \
	controller/policy-explain-peer.c \
	controller/policy-explain-text.c \
	controller/log-file.c controller/log-file.h \
	controller/policy-log.c controller/policy-log.h \
	controller/policy-log-record.c controller/policy-log-record.h \
	controller/policy-name.c controller/policy-name.h
controller_libcontroller_la_SOURCES += \
	controller/node-report.c controller/node-report.h \
	controller/node-report-condition.c \
	controller/node-report-core.c controller/node-report-core.h \
	controller/node-report-events.c

# Policy: the core.
controller_libcontroller_la_SOURCES += \
	controller/policy.c controller/policy.h controller/policy-private.h \
	controller/policy-addresses.c \
	controller/policy-classes.c \
	controller/policy-conjs.c \
	controller/policy-emit.c \
	controller/policy-groups.c \
	controller/policy-domains.c \
	controller/policy-info.c \
	controller/policy-items.c \
	controller/policy-objects.c \
	controller/policy-rules.c

# Services: the core.
controller_libcontroller_la_SOURCES += \
	controller/service-host.c controller/service-host.h \
	controller/service-ranges.c controller/service-ranges.h \
	controller/services.c controller/services.h controller/services-private.h \
	controller/services-choose.c \
	controller/services-claims.c \
	controller/services-doors.c \
	controller/services-emit.c \
	controller/services-flush.c \
	controller/services-info.c \
	controller/services-owner.c \
	controller/services-ports.c \
	controller/services-sets.c

# The daemon.
sbin_PROGRAMS += controller/sluiced
controller_sluiced_SOURCES = controller/sluiced.c controller/late-curl.c controller/late-microhttpd.c controller/late.h
controller_sluiced_LDADD = controller/libcontroller.la flows/libflows.la lib/libsluice-kube.la lib/libsluice.la lib/libsluice-base.la \
	$(OVS_LIBS) $(JANSSON_LIBS) $(YAML_LIBS) $(NFTABLES_LIBS)
dist_man_MANS += controller/sluiced.8
