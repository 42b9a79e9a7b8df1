# Unit tests: one Check program for each module, tests/unit/test-NAME.c.  "make check" runs them; what needs root, OVS and
# network namespaces is under tests/system and is run by "quickstart check".
UNIT_LDADD = lib/libsluice.la lib/libsluice-base.la $(CHECK_LIBS) $(OVS_LIBS) $(JANSSON_LIBS) $(YAML_LIBS)
UNIT_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS) -DTOP_SRCDIR='"$(abs_top_srcdir)"' -DTOP_BUILDDIR='"$(abs_top_builddir)"'
AM_TESTS_ENVIRONMENT = srcdir='$(srcdir)' builddir='$(builddir)' top_srcdir='$(abs_top_srcdir)' top_builddir='$(abs_top_builddir)'; \
	export srcdir builddir top_srcdir top_builddir;

# Worlds of objects around the policy core and the service core, of unit tests and simulators.
WORLD_FLOWS = tests/unit/world-flows.c tests/unit/world-flows.h
POLICY_WORLD = tests/unit/policy-world.c tests/unit/policy-world.h $(WORLD_FLOWS)
SERVICE_WORLD = tests/unit/service-world.c tests/unit/service-world.h $(WORLD_FLOWS)

# Simulators (tests/sim): seeded histories of a real core.
check_LTLIBRARIES += tests/sim/libsim.la
tests_sim_libsim_la_SOURCES = tests/sim/sim.c tests/sim/sim.h
SIMS =

SIMS += tests/sim/sim-attachment
tests_sim_sim_attachment_SOURCES = tests/sim/sim-attachment.c
tests_sim_sim_attachment_LDADD = tests/sim/libsim.la controller/libcontroller.la lib/libsluice.la lib/libsluice-base.la $(OVS_LIBS) \
	$(JANSSON_LIBS)
SIMS += tests/sim/sim-ipam
tests_sim_sim_ipam_SOURCES = tests/sim/sim-ipam.c
tests_sim_sim_ipam_LDADD = tests/sim/libsim.la controller/libcontroller.la lib/libsluice.la lib/libsluice-base.la $(OVS_LIBS)
SIMS += tests/sim/sim-peers
tests_sim_sim_peers_SOURCES = tests/sim/sim-peers.c
tests_sim_sim_peers_LDADD = tests/sim/libsim.la controller/libcontroller.la flows/libflows.la lib/libsluice.la lib/libsluice-base.la \
	$(OVS_LIBS) $(JANSSON_LIBS)

# Compiles the core a second time, with the bugs that the simulator plants.
check_PROGRAMS += tests/sim/sim-of
TESTS += tests/sim/sim-of
tests_sim_sim_of_SOURCES = tests/sim/sim-of.c controller/of-bundle.c controller/of-item.c controller/of-state.c
tests_sim_sim_of_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/controller -DOF_STATE_BUGS
tests_sim_sim_of_LDADD = tests/sim/libsim.la flows/libflows.la $(UNIT_LDADD)

# The policy core a second time, with the bugs that the simulator plants.
check_PROGRAMS += tests/sim/sim-policy
TESTS += tests/sim/sim-policy
tests_sim_sim_policy_SOURCES = tests/sim/sim-policy.c $(POLICY_WORLD) \
	controller/policy.c controller/policy-addresses.c controller/policy-classes.c controller/policy-conjs.c controller/policy-emit.c \
	controller/policy-domains.c controller/policy-groups.c controller/policy-info.c controller/policy-items.c \
	controller/policy-objects.c \
	controller/policy-rules.c
tests_sim_sim_policy_CPPFLAGS = $(UNIT_CPPFLAGS) -I$(top_srcdir)/tests/unit -I$(top_srcdir)/controller -DPOLICY_BUGS
tests_sim_sim_policy_LDADD = tests/sim/libsim.la controller/libcontroller.la flows/libflows.la $(UNIT_LDADD)

# The same with the service core.
check_PROGRAMS += tests/sim/sim-services
TESTS += tests/sim/sim-services
tests_sim_sim_services_SOURCES = tests/sim/sim-services.c $(SERVICE_WORLD) \
	controller/services.c controller/services-choose.c controller/services-claims.c controller/services-doors.c \
	controller/services-emit.c controller/services-flush.c controller/services-info.c controller/services-owner.c \
	controller/services-ports.c controller/services-sets.c
tests_sim_sim_services_CPPFLAGS = $(UNIT_CPPFLAGS) -I$(top_srcdir)/tests/unit -I$(top_srcdir)/controller -DSERVICES_BUGS
tests_sim_sim_services_LDADD = tests/sim/libsim.la controller/libcontroller.la flows/libflows.la $(UNIT_LDADD)

check_PROGRAMS += tests/sim/sim-reflector
TESTS += tests/sim/sim-reflector
tests_sim_sim_reflector_SOURCES = tests/sim/sim-reflector.c lib/kube-reflector.c lib/kube-reflector-body.c
tests_sim_sim_reflector_CPPFLAGS = $(AM_CPPFLAGS) -DREFLECTOR_BUGS
tests_sim_sim_reflector_LDADD = tests/sim/libsim.la lib/libsluice-kube.la $(UNIT_LDADD)

UNIT_TESTS =
noinst_HEADERS += tests/unit/unit.h

UNIT_TESTS += tests/unit/test-inet
tests_unit_test_inet_SOURCES = tests/unit/test-inet.c
tests_unit_test_inet_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_inet_LDADD = $(UNIT_LDADD)

UNIT_TESTS += tests/unit/test-dns-answer
tests_unit_test_dns_answer_SOURCES = tests/unit/test-dns-answer.c
tests_unit_test_dns_answer_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_dns_answer_LDADD = $(UNIT_LDADD)
UNIT_TESTS += tests/unit/test-policy-domains
tests_unit_test_policy_domains_SOURCES = tests/unit/test-policy-domains.c $(POLICY_WORLD)
tests_unit_test_policy_domains_CPPFLAGS = $(UNIT_CPPFLAGS) -I$(top_srcdir)/tests/unit
tests_unit_test_policy_domains_LDADD = controller/libcontroller.la flows/libflows.la $(UNIT_LDADD)
UNIT_TESTS += tests/unit/test-domain
tests_unit_test_domain_SOURCES = tests/unit/test-domain.c
tests_unit_test_domain_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_domain_LDADD = controller/libcontroller.la $(UNIT_LDADD)
UNIT_TESTS += tests/unit/test-group-entry
tests_unit_test_group_entry_SOURCES = tests/unit/test-group-entry.c
tests_unit_test_group_entry_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_group_entry_LDADD = flows/libflows.la $(UNIT_LDADD)
UNIT_TESTS += tests/unit/test-json-get
tests_unit_test_json_get_SOURCES = tests/unit/test-json-get.c
tests_unit_test_json_get_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_json_get_LDADD = $(UNIT_LDADD)
UNIT_TESTS += tests/unit/test-numbers
tests_unit_test_numbers_SOURCES = tests/unit/test-numbers.c
tests_unit_test_numbers_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_numbers_LDADD = $(UNIT_LDADD)
UNIT_TESTS += tests/unit/test-repeat
tests_unit_test_repeat_SOURCES = tests/unit/test-repeat.c
tests_unit_test_repeat_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_repeat_LDADD = $(UNIT_LDADD)

UNIT_TESTS += tests/unit/test-shares
tests_unit_test_shares_SOURCES = tests/unit/test-shares.c
tests_unit_test_shares_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_shares_LDADD = $(UNIT_LDADD) -lm
UNIT_TESTS += tests/unit/test-prefix-tree
tests_unit_test_prefix_tree_SOURCES = tests/unit/test-prefix-tree.c
tests_unit_test_prefix_tree_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_prefix_tree_LDADD = $(UNIT_LDADD)
UNIT_TESTS += tests/unit/test-policy-l4
tests_unit_test_policy_l4_SOURCES = tests/unit/test-policy-l4.c
tests_unit_test_policy_l4_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_policy_l4_LDADD = flows/libflows.la $(UNIT_LDADD)
UNIT_TESTS += tests/unit/test-policy-match
tests_unit_test_policy_match_SOURCES = tests/unit/test-policy-match.c
tests_unit_test_policy_match_CPPFLAGS = $(UNIT_CPPFLAGS) -I$(top_srcdir)/tests/unit
tests_unit_test_policy_match_LDADD = controller/libcontroller.la $(UNIT_LDADD)

UNIT_TESTS += tests/unit/test-fault
tests_unit_test_fault_SOURCES = tests/unit/test-fault.c
tests_unit_test_fault_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_fault_LDADD = lib/libsluice-base.la $(CHECK_LIBS)
UNIT_TESTS += tests/unit/test-cni-wire
tests_unit_test_cni_wire_SOURCES = tests/unit/test-cni-wire.c
tests_unit_test_cni_wire_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_cni_wire_LDADD = $(UNIT_LDADD)

UNIT_TESTS += tests/unit/test-yaml-json
tests_unit_test_yaml_json_SOURCES = tests/unit/test-yaml-json.c
tests_unit_test_yaml_json_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_yaml_json_LDADD = $(UNIT_LDADD)

UNIT_TESTS += tests/unit/test-config
tests_unit_test_config_SOURCES = tests/unit/test-config.c
tests_unit_test_config_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_config_LDADD = controller/libcontroller.la $(UNIT_LDADD)

UNIT_TESTS += tests/unit/test-kube-types
tests_unit_test_kube_types_SOURCES = tests/unit/test-kube-types.c
tests_unit_test_kube_types_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_kube_types_LDADD = controller/libcontroller.la $(UNIT_LDADD)

UNIT_TESTS += tests/unit/test-source-api
tests_unit_test_source_api_SOURCES = tests/unit/test-source-api.c
tests_unit_test_source_api_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_source_api_LDADD = controller/libcontroller.la lib/libsluice-kube.la $(UNIT_LDADD)

UNIT_TESTS += tests/unit/test-intern
tests_unit_test_intern_SOURCES = tests/unit/test-intern.c
tests_unit_test_intern_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_intern_LDADD = $(UNIT_LDADD)

noinst_HEADERS += tests/unit/kube-decode-test.h
UNIT_TESTS += tests/unit/test-kube-policy tests/unit/test-kube-service
tests_unit_test_kube_policy_SOURCES = tests/unit/test-kube-policy.c
tests_unit_test_kube_policy_CPPFLAGS = $(UNIT_CPPFLAGS) -I$(top_srcdir)/tests/unit
tests_unit_test_kube_policy_LDADD = controller/libcontroller.la $(UNIT_LDADD)
tests_unit_test_kube_service_SOURCES = tests/unit/test-kube-service.c
tests_unit_test_kube_service_CPPFLAGS = $(UNIT_CPPFLAGS) -I$(top_srcdir)/tests/unit
tests_unit_test_kube_service_LDADD = controller/libcontroller.la $(UNIT_LDADD)

UNIT_TESTS += tests/unit/test-policy-explain
tests_unit_test_policy_explain_SOURCES = tests/unit/test-policy-explain.c
tests_unit_test_policy_explain_CPPFLAGS = $(UNIT_CPPFLAGS) -I$(top_srcdir)/tests/unit -I$(top_srcdir)/flows
tests_unit_test_policy_explain_LDADD = controller/libcontroller.la flows/libflows.la $(UNIT_LDADD)

UNIT_TESTS += tests/unit/test-policy-log
tests_unit_test_policy_log_SOURCES = tests/unit/test-policy-log.c
tests_unit_test_policy_log_CPPFLAGS = $(UNIT_CPPFLAGS) -I$(top_srcdir)/tests/unit -I$(top_srcdir)/flows
tests_unit_test_policy_log_LDADD = controller/libcontroller.la flows/libflows.la $(UNIT_LDADD)

UNIT_TESTS += tests/unit/test-endpoints
tests_unit_test_endpoints_SOURCES = tests/unit/test-endpoints.c
tests_unit_test_endpoints_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_endpoints_LDADD = controller/libcontroller.la $(UNIT_LDADD)

UNIT_TESTS += tests/unit/test-policy-status
tests_unit_test_policy_status_SOURCES = tests/unit/test-policy-status.c
tests_unit_test_policy_status_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_policy_status_LDADD = controller/libcontroller.la $(UNIT_LDADD)

UNIT_TESTS += tests/unit/test-kube-memory
tests_unit_test_kube_memory_SOURCES = tests/unit/test-kube-memory.c
tests_unit_test_kube_memory_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_kube_memory_LDADD = controller/libcontroller.la $(UNIT_LDADD)

UNIT_TESTS += tests/unit/test-source-dir
tests_unit_test_source_dir_SOURCES = tests/unit/test-source-dir.c
tests_unit_test_source_dir_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_source_dir_LDADD = controller/libcontroller.la $(UNIT_LDADD)
UNIT_TESTS += tests/unit/test-spool
tests_unit_test_spool_SOURCES = tests/unit/test-spool.c
tests_unit_test_spool_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_spool_LDADD = lib/libsluice-base.la $(CHECK_LIBS) $(JANSSON_LIBS)

UNIT_TESTS += tests/unit/test-datapath
tests_unit_test_datapath_SOURCES = tests/unit/test-datapath.c
tests_unit_test_datapath_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_datapath_LDADD = controller/libcontroller.la flows/libflows.la $(UNIT_LDADD)

UNIT_TESTS += tests/unit/test-ovsdb
tests_unit_test_ovsdb_SOURCES = tests/unit/test-ovsdb.c tests/unit/ovs-sandbox.c tests/unit/ovs-sandbox.h
tests_unit_test_ovsdb_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_ovsdb_LDADD = controller/libcontroller.la flows/libflows.la $(UNIT_LDADD)

UNIT_TESTS += tests/unit/test-journal
tests_unit_test_journal_SOURCES = tests/unit/test-journal.c
tests_unit_test_journal_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_journal_LDADD = $(UNIT_LDADD)

UNIT_TESTS += tests/unit/test-ipam
tests_unit_test_ipam_SOURCES = tests/unit/test-ipam.c
tests_unit_test_ipam_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_ipam_LDADD = controller/libcontroller.la $(UNIT_LDADD)
UNIT_TESTS += tests/unit/test-attachment
tests_unit_test_attachment_SOURCES = tests/unit/test-attachment.c
tests_unit_test_attachment_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_attachment_LDADD = controller/libcontroller.la $(UNIT_LDADD)

UNIT_TESTS += tests/unit/test-cni-server
tests_unit_test_cni_server_SOURCES = tests/unit/test-cni-server.c
tests_unit_test_cni_server_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_cni_server_LDADD = controller/libcontroller.la $(UNIT_LDADD)

UNIT_TESTS += tests/unit/test-socket-watch
tests_unit_test_socket_watch_SOURCES = tests/unit/test-socket-watch.c
tests_unit_test_socket_watch_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_socket_watch_LDADD = controller/libcontroller.la $(UNIT_LDADD)

UNIT_TESTS += tests/unit/test-health
tests_unit_test_health_SOURCES = tests/unit/test-health.c
tests_unit_test_health_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_health_LDADD = controller/libcontroller.la $(UNIT_LDADD) $(MICROHTTPD_LIBS)

UNIT_TESTS += tests/unit/test-worker
tests_unit_test_worker_SOURCES = tests/unit/test-worker.c
tests_unit_test_worker_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_worker_LDADD = controller/libcontroller.la $(UNIT_LDADD)

# The client of the Kubernetes API: what is pure of it.
check_PROGRAMS += tests/unit/test-json-split
TESTS += tests/unit/test-json-split
tests_unit_test_json_split_SOURCES = tests/unit/test-json-split.c
tests_unit_test_json_split_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_json_split_LDADD = lib/libsluice-kube.la $(UNIT_LDADD) $(CURL_LIBS)
check_PROGRAMS += tests/unit/test-kube-reflector
TESTS += tests/unit/test-kube-reflector
tests_unit_test_kube_reflector_SOURCES = tests/unit/test-kube-reflector.c
tests_unit_test_kube_reflector_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_kube_reflector_LDADD = lib/libsluice-kube.la $(UNIT_LDADD) $(CURL_LIBS)

include tests/lab/automake.mk
UNIT_TESTS += tests/unit/test-cni-conf
tests_unit_test_cni_conf_SOURCES = tests/unit/test-cni-conf.c
tests_unit_test_cni_conf_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_cni_conf_LDADD = lib/libsluice-base.la $(CHECK_LIBS) $(JANSSON_LIBS)

UNIT_TESTS += tests/unit/test-cni-result
tests_unit_test_cni_result_SOURCES = tests/unit/test-cni-result.c
tests_unit_test_cni_result_CPPFLAGS = $(UNIT_CPPFLAGS) -I$(top_srcdir)/ovs-cni
tests_unit_test_cni_result_LDADD = ovs-cni/libovscni.la lib/libsluice-base.la $(CHECK_LIBS) $(JANSSON_LIBS)

UNIT_TESTS += tests/unit/test-of-state
tests_unit_test_of_state_SOURCES = tests/unit/test-of-state.c
tests_unit_test_of_state_CPPFLAGS = $(UNIT_CPPFLAGS) -I$(top_srcdir)/controller
tests_unit_test_of_state_LDADD = controller/libcontroller.la flows/libflows.la $(UNIT_LDADD)

UNIT_TESTS += tests/unit/test-ct-entry
tests_unit_test_ct_entry_SOURCES = tests/unit/test-ct-entry.c
tests_unit_test_ct_entry_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_ct_entry_LDADD = controller/libcontroller.la $(UNIT_LDADD)

UNIT_TESTS += tests/unit/test-punt-reply
tests_unit_test_punt_reply_SOURCES = tests/unit/test-punt-reply.c
tests_unit_test_punt_reply_CPPFLAGS = $(UNIT_CPPFLAGS) -I$(top_srcdir)/controller
tests_unit_test_punt_reply_LDADD = controller/libcontroller.la flows/libflows.la $(UNIT_LDADD)

UNIT_TESTS += tests/unit/test-hostnet-record
tests_unit_test_hostnet_record_SOURCES = tests/unit/test-hostnet-record.c
tests_unit_test_hostnet_record_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_hostnet_record_LDADD = controller/libcontroller.la $(UNIT_LDADD) $(NFTABLES_LIBS)

# The policy core, with a world of objects around it.
UNIT_TESTS += tests/unit/test-policy
tests_unit_test_policy_SOURCES = tests/unit/test-policy.c $(POLICY_WORLD)
tests_unit_test_policy_CPPFLAGS = $(UNIT_CPPFLAGS) -I$(top_srcdir)/tests/unit
tests_unit_test_policy_LDADD = controller/libcontroller.la flows/libflows.la $(UNIT_LDADD)

# The service core, with a world of objects around it.
UNIT_TESTS += tests/unit/test-services tests/unit/test-services-change
tests_unit_test_services_change_SOURCES = tests/unit/test-services-change.c $(SERVICE_WORLD)
tests_unit_test_services_change_CPPFLAGS = $(UNIT_CPPFLAGS) -I$(top_srcdir)/tests/unit
tests_unit_test_services_change_LDADD = controller/libcontroller.la flows/libflows.la $(UNIT_LDADD)
tests_unit_test_services_SOURCES = tests/unit/test-services.c $(SERVICE_WORLD)
tests_unit_test_services_CPPFLAGS = $(UNIT_CPPFLAGS) -I$(top_srcdir)/tests/unit
tests_unit_test_services_LDADD = controller/libcontroller.la flows/libflows.la $(UNIT_LDADD)

UNIT_TESTS += tests/unit/test-mtu
tests_unit_test_mtu_SOURCES = tests/unit/test-mtu.c
tests_unit_test_mtu_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_mtu_LDADD = controller/libcontroller.la $(UNIT_LDADD)

UNIT_TESTS += tests/unit/test-pem
tests_unit_test_pem_SOURCES = tests/unit/test-pem.c
tests_unit_test_pem_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_pem_LDADD = lib/libsluice-kube.la lib/libsluice-base.la $(CHECK_LIBS)

UNIT_TESTS += tests/unit/test-kubeconfig
tests_unit_test_kubeconfig_SOURCES = tests/unit/test-kubeconfig.c
tests_unit_test_kubeconfig_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_kubeconfig_LDADD = lib/libsluice-kube.la $(UNIT_LDADD) $(CURL_LIBS)

UNIT_TESTS += tests/unit/test-node-report
tests_unit_test_node_report_SOURCES = tests/unit/test-node-report.c
tests_unit_test_node_report_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_node_report_LDADD = controller/libcontroller.la $(UNIT_LDADD)

UNIT_TESTS += tests/unit/test-kube-credentials
tests_unit_test_kube_credentials_SOURCES = tests/unit/test-kube-credentials.c
tests_unit_test_kube_credentials_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_kube_credentials_LDADD = lib/libsluice-kube.la $(UNIT_LDADD) $(CURL_LIBS)
UNIT_TESTS += tests/unit/test-http
EXTRA_DIST += tests/unit/http-server
tests_unit_test_http_SOURCES = tests/unit/test-http.c
tests_unit_test_http_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_http_LDADD = lib/libsluice-kube.la $(UNIT_LDADD) $(CURL_LIBS)

check_PROGRAMS += $(UNIT_TESTS) $(SIMS)
TESTS += $(UNIT_TESTS) $(SIMS)

# System tests: root, network namespaces, some of them a real Open vSwitch.  Built by "make check", run by check-system.
SYSTEM_LDADD = controller/libcontroller.la flows/libflows.la lib/libsluice.la lib/libsluice-base.la $(CHECK_LIBS) $(OVS_LIBS) $(JANSSON_LIBS) \
	$(YAML_LIBS) $(NFTABLES_LIBS)
SYSTEM_TESTS =
noinst_HEADERS += tests/system/netns-test.h tests/system/hostnet-test.h

SYSTEM_TESTS += tests/system/test-pod-link
tests_system_test_pod_link_SOURCES = tests/system/test-pod-link.c
tests_system_test_pod_link_CPPFLAGS = $(UNIT_CPPFLAGS) -I$(top_srcdir)/tests/unit
tests_system_test_pod_link_LDADD = $(SYSTEM_LDADD)

noinst_HEADERS += tests/system/ofctrl-test.h
SYSTEM_TESTS += tests/system/test-ofctrl-groups
tests_system_test_ofctrl_groups_SOURCES = tests/system/test-ofctrl-groups.c tests/unit/ovs-sandbox.c tests/unit/ovs-sandbox.h
tests_system_test_ofctrl_groups_CPPFLAGS = $(UNIT_CPPFLAGS) -I$(top_srcdir)/tests/unit -I$(top_srcdir)/controller
tests_system_test_ofctrl_groups_LDADD = $(SYSTEM_LDADD)
SYSTEM_TESTS += tests/system/test-ofctrl
tests_system_test_ofctrl_SOURCES = tests/system/test-ofctrl.c tests/unit/ovs-sandbox.c tests/unit/ovs-sandbox.h \
	tests/golden/fixture.c tests/golden/fixture.h
tests_system_test_ofctrl_CPPFLAGS = $(UNIT_CPPFLAGS) -I$(top_srcdir)/tests/unit -I$(top_srcdir)/tests/golden \
	-I$(top_srcdir)/controller
tests_system_test_ofctrl_LDADD = $(SYSTEM_LDADD)

SYSTEM_TESTS += tests/system/test-hostnet
tests_system_test_hostnet_SOURCES = tests/system/test-hostnet.c
tests_system_test_hostnet_CPPFLAGS = $(UNIT_CPPFLAGS) -I$(top_srcdir)/tests/unit
tests_system_test_hostnet_LDADD = $(SYSTEM_LDADD)

SYSTEM_TESTS += tests/system/test-hostnet-service
tests_system_test_hostnet_service_SOURCES = tests/system/test-hostnet-service.c
tests_system_test_hostnet_service_CPPFLAGS = $(UNIT_CPPFLAGS) -I$(top_srcdir)/tests/unit
tests_system_test_hostnet_service_LDADD = $(SYSTEM_LDADD)

SYSTEM_TESTS += tests/system/test-hostnet-ovs
tests_system_test_hostnet_ovs_SOURCES = tests/system/test-hostnet-ovs.c tests/unit/ovs-sandbox.c tests/unit/ovs-sandbox.h
tests_system_test_hostnet_ovs_CPPFLAGS = $(UNIT_CPPFLAGS) -I$(top_srcdir)/tests/unit
tests_system_test_hostnet_ovs_LDADD = $(SYSTEM_LDADD)

check_PROGRAMS += $(SYSTEM_TESTS)

# The flow compiler: golden tests, and what Open vSwitch makes of the flows.
FLOWS_LDADD = flows/libflows.la $(UNIT_LDADD)
FLOWS_CPPFLAGS = $(UNIT_CPPFLAGS) -I$(top_srcdir)/flows -I$(top_srcdir)/tests/golden
check_PROGRAMS += tests/golden/golden
tests_golden_golden_SOURCES = tests/golden/golden.c tests/golden/fixture.c tests/golden/fixture.h
tests_golden_golden_CPPFLAGS = $(FLOWS_CPPFLAGS)
tests_golden_golden_LDADD = $(FLOWS_LDADD)
check_PROGRAMS += tests/unit/test-flows
TESTS += tests/unit/test-flows
tests_unit_test_flows_SOURCES = tests/unit/test-flows.c tests/golden/fixture.c tests/golden/fixture.h
tests_unit_test_flows_CPPFLAGS = $(FLOWS_CPPFLAGS) -I$(top_srcdir)/tests/unit
tests_unit_test_flows_LDADD = $(FLOWS_LDADD)
GOLDENS = empty hybrid isolated kernel networks overlay routed services
EXTRA_DIST += tests/golden/run $(GOLDENS:%=tests/golden/%.in) $(GOLDENS:%=tests/golden/%.flows)
EXTRA_DIST += tests/golden/pipeline-doc-fresh tests/system/ofproto-trace
TESTS += tests/golden/run tests/golden/pipeline-doc-fresh tests/system/ofproto-trace
check_PROGRAMS += tests/unit/test-trace
TESTS += tests/unit/test-trace
tests_unit_test_trace_SOURCES = tests/unit/test-trace.c utilities/trace-facts.c utilities/trace-packet.c \
	utilities/trace-parse.c utilities/trace-policy.c utilities/trace-verdict.c
tests_unit_test_trace_CPPFLAGS = $(UNIT_CPPFLAGS) -I$(top_srcdir)/tests/unit
tests_unit_test_trace_LDADD = controller/libcontroller.la flows/libflows.la $(UNIT_LDADD)
EXTRA_DIST += tests/unit/trace/gateway.trace tests/unit/trace/multicast.trace tests/unit/trace/near.trace \
	tests/unit/trace/nomatch.trace tests/unit/trace/outside.trace tests/unit/trace/recirc.trace \
	tests/unit/trace/remote.trace tests/unit/trace/status.json tests/unit/trace/tunnel.trace \
	tests/unit/trace/policy-admin.trace tests/unit/trace/policy-allowed.trace tests/unit/trace/policy-baseline.trace \
	tests/unit/trace/policy-denied.trace tests/unit/trace/policy-egress.trace tests/unit/trace/policy-pass.trace \
	tests/unit/trace/policy-status.json

EXTRA_DIST += tests/system/test-lab-trace.py tests/system/test-lab-policy-trace.py

# "sluicectl compile", and wrong use of sluicectl.
EXTRA_DIST += tests/golden/compile-run tests/golden/cluster/nodes.yaml tests/golden/cluster/pods.yaml \
	tests/golden/cluster-geneve.flows tests/golden/cluster-hybrid.flows tests/golden/cluster-routed.flows
TESTS += tests/golden/compile-run
update-golden: tests/golden/golden utilities/sluicectl
	$(AM_TESTS_ENVIRONMENT) $(srcdir)/tests/golden/run --update
	$(AM_TESTS_ENVIRONMENT) $(srcdir)/tests/golden/compile-run --update
.PHONY: update-golden

# tests/system/test-ovsdb-*.py with their driver.
check_PROGRAMS += tests/system/ovsdb-driver
tests_system_ovsdb_driver_SOURCES = tests/system/ovsdb-driver.c
tests_system_ovsdb_driver_CPPFLAGS = $(AM_CPPFLAGS)
tests_system_ovsdb_driver_LDADD = controller/libcontroller.la flows/libflows.la $(SYSTEM_LDADD)
EXTRA_DIST += tests/system/ovsdb_rig.py tests/system/test-ovsdb-tunnel.py tests/system/test-ovsdb-afxdp.py tests/system/test-lab-guard.py

# The guest with the real openvswitch kernel module.
EXTRA_DIST += tests/kernel/run tests/kernel/all tests/kernel/services tests/kernel/trying tests/full/test-kernel-services.py tests/kernel/lab-kernel.py tests/kernel/initramfs-init tests/kernel/guest-init tests/system/test-kernel.py \
	tests/system/test-service-flows.py

# The CNI plugin against the runtime's side of the specification.
EXTRA_DIST += tests/system/cnitest.py tests/system/test-cni-plugin.py
# Benchmarks: built by "make check" so that they do not rot; run by hand or by "quickstart check" (docs/performance.md).
BENCHES = tests/bench/bench-ipam
tests_bench_bench_ipam_SOURCES = tests/bench/bench-ipam.c
tests_bench_bench_ipam_LDADD = controller/libcontroller.la lib/libsluice.la lib/libsluice-base.la $(OVS_LIBS)
BENCHES += tests/bench/bench-policy-match
tests_bench_bench_policy_match_SOURCES = tests/bench/bench-policy-match.c
tests_bench_bench_policy_match_LDADD = controller/libcontroller.la lib/libsluice.la lib/libsluice-base.la $(OVS_LIBS) $(JANSSON_LIBS)
BENCHES += tests/bench/bench-service-core
tests_bench_bench_service_core_SOURCES = tests/bench/bench-service-core.c
tests_bench_bench_service_core_LDADD = controller/libcontroller.la flows/libflows.la lib/libsluice.la lib/libsluice-base.la $(OVS_LIBS) \
	$(JANSSON_LIBS)
BENCHES += tests/bench/bench-ovsdb
tests_bench_bench_ovsdb_SOURCES = tests/bench/bench-ovsdb.c tests/unit/ovs-sandbox.c tests/unit/ovs-sandbox.h
tests_bench_bench_ovsdb_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS) -I$(top_srcdir)/tests/unit
tests_bench_bench_ovsdb_LDADD = controller/libcontroller.la flows/libflows.la $(SYSTEM_LDADD)
BENCHES += tests/bench/bench-groups
tests_bench_bench_groups_SOURCES = tests/bench/bench-groups.c tests/unit/ovs-sandbox.c tests/unit/ovs-sandbox.h
tests_bench_bench_groups_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS) -I$(top_srcdir)/tests/unit
tests_bench_bench_groups_LDADD = controller/libcontroller.la flows/libflows.la $(SYSTEM_LDADD)
BENCHES += tests/bench/bench-reflector
tests_bench_bench_reflector_SOURCES = tests/bench/bench-reflector.c
tests_bench_bench_reflector_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_bench_bench_reflector_LDADD = lib/libsluice-kube.la $(UNIT_LDADD) $(CURL_LIBS)
EXTRA_DIST += tests/bench/pod.json
check_PROGRAMS += $(BENCHES)

include tests/fuzz/automake.mk
EXTRA_DIST += tests/system/cnilab.py tests/system/test-ipam.py tests/system/test-cni-conformance.py \
	tests/cnitool/go.mod tests/cnitool/go.sum tests/cnitool/tools.go
EXTRA_DIST += tests/bench/bench-services-kernel tests/bench/bench-cni-start tests/bench/bench-kubelet tests/bench/bench-kube tests/kube/seed.py
include tests/kube/automake.mk

# Real kubelets: the rig, and the tests on it.
EXTRA_DIST += tests/k8s-rig/README.md tests/k8s-rig/build.sh tests/k8s-rig/coredns.yaml tests/k8s-rig/images.py \
	tests/k8s-rig/machine-init.sh tests/k8s-rig/pause.c tests/k8s-rig/rig tests/k8s-rig/selftest.sh \
	tests/k8s-rig/hooks/bridge tests/k8s-rig/hooks/sluice
EXTRA_DIST += $(foreach module,cni-plugins containerd coredns etcd kubernetes, \
	tests/k8s-rig/modules/$(module)/go.mod tests/k8s-rig/modules/$(module)/go.sum)
EXTRA_DIST += tests/system/kubelettest.py tests/system/test-kubelet-smoke.py tests/full/test-kubelet-deployments.py \
	tests/full/test-kubelet-cnitool.py tests/full/test-kubelet-lab.py tests/full/test-kubelet-nodes.py \
	tests/full/test-kubelet-pods.py tests/full/test-kubelet-policy.py \
	tests/full/test-kubelet-restarts.py tests/full/test-kubelet-services.py

# Policy: the oracle, and its comparison with the compiled flows (docs/policy.md).
EXTRA_DIST += tests/policy/compare-flows tests/policy/compare.py tests/policy/generator.py tests/policy/golden-run \
	tests/policy/judge.py tests/policy/manifests.py tests/policy/oracle.py tests/policy/ovs.py
EXTRA_DIST += $(wildcard $(srcdir)/tests/policy/golden/*.yaml) $(wildcard $(srcdir)/tests/policy/golden/*.flows)
EXTRA_DIST += tests/system/comparisons.py tests/system/historylab.py tests/system/test-policy-oracle.py tests/system/test-policy-history.py tests/full/test-policy-oracle-full.py
TESTS += tests/policy/golden-run
update-policy-golden: utilities/sluicectl
	$(AM_TESTS_ENVIRONMENT) $(srcdir)/tests/policy/golden-run --update
update-golden: update-policy-golden
.PHONY: update-policy-golden

# Services: the oracle, and its comparisons (docs/services.md).
EXTRA_DIST += tests/services/compare-doors tests/services/compare-packets tests/services/golden-run \
	tests/services/service_compare.py tests/services/service_generator.py tests/services/service_oracle.py \
	tests/services/service_packets.py
EXTRA_DIST += $(wildcard $(srcdir)/tests/services/golden/*.yaml)
EXTRA_DIST += tests/system/test-service-oracle.py tests/system/test-service-history.py tests/full/test-service-oracle-full.py
EXTRA_DIST += tests/system/test-lab-service-oracle.py
TESTS += tests/services/golden-run
