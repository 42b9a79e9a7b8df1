EXTRA_DIST += build-aux/ovs-build build-aux/check-layers

# Layer rules and symbol rules (ARCHITECTURE.md, "Folders and layers").
check-layers: all
	$(AM_V_GEN)$(srcdir)/build-aux/check-layers "$(srcdir)" "$(builddir)"
check-local: check-layers
.PHONY: check-layers
