# What .ci/build-arm64 and .ci/build-program share. To be read with `source`.
# shellcheck shell=bash
fail() { printf 'error: %s\n  help: %s\n' "$1" "$2" >&2; exit 1; }

# The standard library for a target: from the compiler, or fetched by rustup. RUSTC names another compiler.
need_libraries_for() {
  if compgen -G "$("${RUSTC:-rustc}" --print target-libdir --target "$1")/libstd-*" >/dev/null; then return; fi
  command -v rustup >/dev/null && rustup target add "$1" \
    || fail "the compiler has no standard library for $1" "rustup target add $1, or name a compiler that has it in RUSTC"
}

# Checks the machine that a program is made for, and prints the newest glibc that it needs:
# newest_glibc PROGRAM MACHINE LIMIT WHO_HAS_THE_LIMIT
newest_glibc() {
  local machine newest
  command -v readelf >/dev/null || fail "readelf is missing" "apt-get install binutils"
  machine=$(readelf --file-header "$1" | sed -n 's/^ *Machine: *//p')
  [ "$machine" = "$2" ] || fail "$1 is made for ${machine:-no machine}, not for $2" "look at the target of the build"
  newest=$(readelf --version-info --wide "$1" | grep -o 'GLIBC_2\.[0-9]*' | sort -uV | tail -1)
  [ "$(printf '%s\nGLIBC_%s\n' "$newest" "$3" | sort -V | tail -1)" = "GLIBC_$3" ] \
    || fail "$1 needs $newest, $4 has GLIBC_$3" "build with zig as the linker, which takes the glibc to build for"
  echo "$newest"
}

# A command that runs programs for ARM64 on this machine, which is of another kind.
arm64_emulator() {
  if [ -n "${QEMU_AARCH64:-}" ]; then
    echo "$QEMU_AARCH64"
  elif command -v qemu-aarch64-static >/dev/null && [ -d /usr/aarch64-linux-gnu ]; then
    echo "qemu-aarch64-static -L /usr/aarch64-linux-gnu"
  else
    fail "no emulator for ARM64" "apt-get install qemu-user-static libc6-arm64-cross, or name a command in QEMU_AARCH64"
  fi
}
