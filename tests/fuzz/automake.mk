# Fuzz targets (tests/fuzz/fuzz.h): libFuzzer with --enable-fuzzers, else programs that replay their corpora.
FUZZERS_ALL = tests/fuzz/fuzz-attachment \
	tests/fuzz/fuzz-cni-conf \
	tests/fuzz/fuzz-cni-result \
	tests/fuzz/fuzz-cni-wire \
	tests/fuzz/fuzz-config \
	tests/fuzz/fuzz-ct-entry \
	tests/fuzz/fuzz-dns-answer \
	tests/fuzz/fuzz-hostnet-nft-list \
	tests/fuzz/fuzz-hostnet-record \
	tests/fuzz/fuzz-inet \
	tests/fuzz/fuzz-ipam \
	tests/fuzz/fuzz-journal \
	tests/fuzz/fuzz-kubeconfig \
	tests/fuzz/fuzz-json-split \
	tests/fuzz/fuzz-kube-reflector \
	tests/fuzz/fuzz-kube-kinds \
	tests/fuzz/fuzz-manifest \
	tests/fuzz/fuzz-of-msg \
	tests/fuzz/fuzz-policy-log \
	tests/fuzz/fuzz-punt-reply \
	tests/fuzz/fuzz-source-kind \
	tests/fuzz/fuzz-trace
FUZZ_CPPFLAGS = $(AM_CPPFLAGS) -DTOP_SRCDIR='"$(abs_top_srcdir)"'
FUZZ_LDADD = controller/libcontroller.la flows/libflows.la lib/libsluice.la lib/libsluice-base.la $(OVS_LIBS) \
	$(JANSSON_LIBS) $(YAML_LIBS) $(NFTABLES_LIBS)
if FUZZERS
FUZZ_LINK = $(AM_LDFLAGS) -fsanitize=fuzzer
FUZZ_MAIN =
noinst_PROGRAMS += $(FUZZERS_ALL)
else
FUZZ_LINK = $(AM_LDFLAGS)
FUZZ_MAIN = tests/fuzz/replay.c
check_PROGRAMS += $(FUZZERS_ALL)
TESTS += $(FUZZERS_ALL)
endif
EXTRA_DIST += tests/fuzz/run tests/fuzz/replay.c tests/fuzz/corpus
noinst_HEADERS += tests/fuzz/fuzz.h
tests_fuzz_fuzz_attachment_SOURCES = tests/fuzz/fuzz-attachment.c $(FUZZ_MAIN)
tests_fuzz_fuzz_attachment_CPPFLAGS = $(FUZZ_CPPFLAGS)
tests_fuzz_fuzz_attachment_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_attachment_LDADD = $(FUZZ_LDADD)
tests_fuzz_fuzz_cni_conf_SOURCES = tests/fuzz/fuzz-cni-conf.c $(FUZZ_MAIN)
tests_fuzz_fuzz_cni_conf_CPPFLAGS = $(FUZZ_CPPFLAGS)
tests_fuzz_fuzz_cni_conf_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_cni_conf_LDADD = $(FUZZ_LDADD)
tests_fuzz_fuzz_cni_wire_SOURCES = tests/fuzz/fuzz-cni-wire.c $(FUZZ_MAIN)
tests_fuzz_fuzz_cni_wire_CPPFLAGS = $(FUZZ_CPPFLAGS)
tests_fuzz_fuzz_cni_wire_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_cni_wire_LDADD = $(FUZZ_LDADD)
tests_fuzz_fuzz_config_SOURCES = tests/fuzz/fuzz-config.c $(FUZZ_MAIN)
tests_fuzz_fuzz_config_CPPFLAGS = $(FUZZ_CPPFLAGS)
tests_fuzz_fuzz_config_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_config_LDADD = $(FUZZ_LDADD)
tests_fuzz_fuzz_ct_entry_SOURCES = tests/fuzz/fuzz-ct-entry.c $(FUZZ_MAIN)
tests_fuzz_fuzz_ct_entry_CPPFLAGS = $(FUZZ_CPPFLAGS)
tests_fuzz_fuzz_ct_entry_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_ct_entry_LDADD = $(FUZZ_LDADD)
tests_fuzz_fuzz_dns_answer_SOURCES = tests/fuzz/fuzz-dns-answer.c $(FUZZ_MAIN)
tests_fuzz_fuzz_dns_answer_CPPFLAGS = $(FUZZ_CPPFLAGS)
tests_fuzz_fuzz_dns_answer_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_dns_answer_LDADD = $(FUZZ_LDADD)
tests_fuzz_fuzz_hostnet_nft_list_SOURCES = tests/fuzz/fuzz-hostnet-nft-list.c $(FUZZ_MAIN)
tests_fuzz_fuzz_hostnet_nft_list_CPPFLAGS = $(FUZZ_CPPFLAGS)
tests_fuzz_fuzz_hostnet_nft_list_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_hostnet_nft_list_LDADD = $(FUZZ_LDADD)
tests_fuzz_fuzz_hostnet_record_SOURCES = tests/fuzz/fuzz-hostnet-record.c $(FUZZ_MAIN)
tests_fuzz_fuzz_hostnet_record_CPPFLAGS = $(FUZZ_CPPFLAGS)
tests_fuzz_fuzz_hostnet_record_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_hostnet_record_LDADD = $(FUZZ_LDADD)
tests_fuzz_fuzz_inet_SOURCES = tests/fuzz/fuzz-inet.c $(FUZZ_MAIN)
tests_fuzz_fuzz_inet_CPPFLAGS = $(FUZZ_CPPFLAGS)
tests_fuzz_fuzz_inet_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_inet_LDADD = $(FUZZ_LDADD)
tests_fuzz_fuzz_ipam_SOURCES = tests/fuzz/fuzz-ipam.c $(FUZZ_MAIN)
tests_fuzz_fuzz_ipam_CPPFLAGS = $(FUZZ_CPPFLAGS)
tests_fuzz_fuzz_ipam_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_ipam_LDADD = $(FUZZ_LDADD)
tests_fuzz_fuzz_journal_SOURCES = tests/fuzz/fuzz-journal.c $(FUZZ_MAIN)
tests_fuzz_fuzz_journal_CPPFLAGS = $(FUZZ_CPPFLAGS)
tests_fuzz_fuzz_journal_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_journal_LDADD = $(FUZZ_LDADD)
tests_fuzz_fuzz_json_split_SOURCES = tests/fuzz/fuzz-json-split.c $(FUZZ_MAIN)
tests_fuzz_fuzz_json_split_CPPFLAGS = $(FUZZ_CPPFLAGS)
tests_fuzz_fuzz_json_split_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_json_split_LDADD = lib/libsluice-kube.la $(FUZZ_LDADD)
tests_fuzz_fuzz_kube_reflector_SOURCES = tests/fuzz/fuzz-kube-reflector.c $(FUZZ_MAIN)
tests_fuzz_fuzz_kube_reflector_CPPFLAGS = $(FUZZ_CPPFLAGS)
tests_fuzz_fuzz_kube_reflector_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_kube_reflector_LDADD = lib/libsluice-kube.la $(FUZZ_LDADD)
tests_fuzz_fuzz_kube_kinds_SOURCES = tests/fuzz/fuzz-kube-kinds.c $(FUZZ_MAIN)
tests_fuzz_fuzz_kube_kinds_CPPFLAGS = $(FUZZ_CPPFLAGS)
tests_fuzz_fuzz_kube_kinds_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_kube_kinds_LDADD = $(FUZZ_LDADD)
tests_fuzz_fuzz_manifest_SOURCES = tests/fuzz/fuzz-manifest.c $(FUZZ_MAIN)
tests_fuzz_fuzz_manifest_CPPFLAGS = $(FUZZ_CPPFLAGS)
tests_fuzz_fuzz_manifest_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_manifest_LDADD = $(FUZZ_LDADD)
tests_fuzz_fuzz_of_msg_SOURCES = tests/fuzz/fuzz-of-msg.c $(FUZZ_MAIN)
tests_fuzz_fuzz_of_msg_CPPFLAGS = $(FUZZ_CPPFLAGS)
tests_fuzz_fuzz_of_msg_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_of_msg_LDADD = $(FUZZ_LDADD)
tests_fuzz_fuzz_policy_log_SOURCES = tests/fuzz/fuzz-policy-log.c $(FUZZ_MAIN)
tests_fuzz_fuzz_policy_log_CPPFLAGS = $(FUZZ_CPPFLAGS)
tests_fuzz_fuzz_policy_log_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_policy_log_LDADD = $(FUZZ_LDADD)
tests_fuzz_fuzz_punt_reply_SOURCES = tests/fuzz/fuzz-punt-reply.c $(FUZZ_MAIN)
tests_fuzz_fuzz_punt_reply_CPPFLAGS = $(FUZZ_CPPFLAGS)
tests_fuzz_fuzz_punt_reply_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_punt_reply_LDADD = $(FUZZ_LDADD)
tests_fuzz_fuzz_cni_result_SOURCES = tests/fuzz/fuzz-cni-result.c $(FUZZ_MAIN)
tests_fuzz_fuzz_cni_result_CPPFLAGS = $(FUZZ_CPPFLAGS)
tests_fuzz_fuzz_cni_result_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_cni_result_LDADD = ovs-cni/libovscni.la $(FUZZ_LDADD)
tests_fuzz_fuzz_trace_SOURCES = tests/fuzz/fuzz-trace.c utilities/trace-facts.c utilities/trace-packet.c \
	utilities/trace-parse.c utilities/trace-policy.c utilities/trace-verdict.c $(FUZZ_MAIN)
tests_fuzz_fuzz_trace_CPPFLAGS = $(FUZZ_CPPFLAGS)
tests_fuzz_fuzz_trace_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_trace_LDADD = $(FUZZ_LDADD)
tests_fuzz_fuzz_kubeconfig_SOURCES = tests/fuzz/fuzz-kubeconfig.c $(FUZZ_MAIN)
tests_fuzz_fuzz_kubeconfig_CPPFLAGS = $(FUZZ_CPPFLAGS)
tests_fuzz_fuzz_kubeconfig_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_kubeconfig_LDADD = lib/libsluice-kube.la $(FUZZ_LDADD) $(CURL_LIBS)
tests_fuzz_fuzz_source_kind_SOURCES = tests/fuzz/fuzz-source-kind.c $(FUZZ_MAIN)
tests_fuzz_fuzz_source_kind_CPPFLAGS = $(FUZZ_CPPFLAGS)
tests_fuzz_fuzz_source_kind_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_source_kind_LDADD = $(FUZZ_LDADD)
