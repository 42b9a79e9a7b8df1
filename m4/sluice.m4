# SLUICE_OVS: finds the sources and the build of Open vSwitch whose libopenvswitch is linked.
# Without options: what build-aux/ovs-build put into the cache.
AC_DEFUN([SLUICE_OVS], [
  AC_ARG_WITH([ovs-source],
    [AS_HELP_STRING([--with-ovs-source=DIR], [Open vSwitch source tree (default: the cache of build-aux/ovs-build)])],
    [OVSDIR=$withval], [OVSDIR=$("$srcdir/build-aux/ovs-build" --print)])
  AC_ARG_WITH([ovs-build],
    [AS_HELP_STRING([--with-ovs-build=DIR], [its build tree, when it was built elsewhere])],
    [OVSBUILDDIR=$withval], [OVSBUILDDIR=$OVSDIR])
  AC_MSG_CHECKING([for libopenvswitch with the OVSDB IDL])
  AS_IF([test -f "$OVSBUILDDIR/lib/vswitch-idl.h" && test -f "$OVSBUILDDIR/lib/.libs/libopenvswitch.a"],
    [AC_MSG_RESULT([$OVSBUILDDIR])],
    [AC_MSG_ERROR([not found in '$OVSBUILDDIR': run build-aux/ovs-build, or give --with-ovs-source and --with-ovs-build])])
  OVS_CPPFLAGS="-I$OVSBUILDDIR -isystem $OVSBUILDDIR/include -isystem $OVSDIR/include -isystem $OVSBUILDDIR/lib -isystem $OVSDIR/lib -isystem $OVSDIR"
  # libopenvswitch and jansson both define json_object() and five more, with other meanings.  The linker would take the first
  # without a word, so that we link a copy of libopenvswitch that has its own under other names.  (Of our files, one that
  # wants them must include lib/ovs-json.h.)
  AC_CHECK_TOOL([OBJCOPY], [objcopy])
  AS_IF([test -z "$OBJCOPY"], [AC_MSG_ERROR([objcopy (binutils) is needed])])
  AC_MSG_NOTICE([copying libopenvswitch.a with its json_*() renamed])
  ovs_rename=
  for symbol in array equal integer object real string; do
    ovs_rename="$ovs_rename --redefine-sym json_$symbol=ovs_json_$symbol"
  done
  AS_MKDIR_P([ovs])
  $OBJCOPY $ovs_rename "$OVSBUILDDIR/lib/.libs/libopenvswitch.a" ovs/libopenvswitch.a ||
    AC_MSG_ERROR([objcopy failed])
  # libopenvswitch needs its AVX-512 half, and that needs libopenvswitch again.
  OVS_LIBS="-Wl,--start-group \$(top_builddir)/ovs/libopenvswitch.a"
  AS_IF([test -f "$OVSBUILDDIR/lib/.libs/libopenvswitchavx512.a"],
    [OVS_LIBS="$OVS_LIBS $OVSBUILDDIR/lib/.libs/libopenvswitchavx512.a"])
  OVS_LIBS="$OVS_LIBS -Wl,--end-group $SLUICE_OVS_EXTRA_LIBS -latomic -lpthread -lrt -lm"
  AC_SUBST([OVSDIR])
  AC_SUBST([OVSBUILDDIR])
  AC_SUBST([OVS_CPPFLAGS])
  AC_SUBST([OVS_LIBS])
])

# SLUICE_WARNINGS: the warnings that the code is kept free of; --enable-Werror (CI) makes them errors.
AC_DEFUN([SLUICE_WARNINGS], [
  AC_ARG_ENABLE([Werror], [AS_HELP_STRING([--enable-Werror], [treat warnings as errors])],
    [], [enable_Werror=no])
  WARN_CFLAGS="-Wall -Wextra -Wno-sign-compare -Wformat=2 -Wno-format-nonliteral -Wstrict-prototypes -Wold-style-definition -Wmissing-prototypes -Wpointer-arith -Wswitch-enum -Wundef -Wvla -Wno-missing-field-initializers"
  AS_IF([test "$enable_Werror" = yes], [WARN_CFLAGS="$WARN_CFLAGS -Werror"])
  AC_SUBST([WARN_CFLAGS])
])

# SLUICE_SANITIZERS: AddressSanitizer and UndefinedBehaviorSanitizer in everything that we compile.
AC_DEFUN([SLUICE_SANITIZERS], [
  AC_ARG_ENABLE([sanitizers], [AS_HELP_STRING([--enable-sanitizers], [compile with ASan and UBSan])],
    [], [enable_sanitizers=no])
  AS_IF([test "$enable_sanitizers" = yes],
    [SANITIZE_CFLAGS="-fsanitize=address,undefined -fno-sanitize=alignment -fno-sanitize-recover=undefined -fno-omit-frame-pointer"])
  AC_SUBST([SANITIZE_CFLAGS])
  dnl The fuzzers are linked with the sanitizers too; neither can be linked statically.
  AM_CONDITIONAL([SANITIZERS], [test "$enable_sanitizers" = yes || test "$enable_fuzzers" = yes])
])

# SLUICE_FUZZ: libFuzzer targets; they need clang.
AC_DEFUN([SLUICE_FUZZ], [
  AC_ARG_ENABLE([fuzzers], [AS_HELP_STRING([--enable-fuzzers], [build the libFuzzer targets (CC=clang)])],
    [], [enable_fuzzers=no])
  AS_IF([test "$enable_fuzzers" = yes],
    [SANITIZE_CFLAGS="-fsanitize=address,undefined,fuzzer-no-link -fno-sanitize=alignment,function -fno-sanitize-recover=undefined -fno-omit-frame-pointer"])
  AM_CONDITIONAL([FUZZERS], [test "$enable_fuzzers" = yes])
])
