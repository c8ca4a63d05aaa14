# Raspberry Pi 3, 4, 5 and Zero 2 W with a 64-bit system.

# cross's own image of the same version as cross: a C compiler and linker for the target, and a system library so old
# (glibc 2.23) that programs linked against it run on every Raspberry Pi OS there ever was with 64 bits. The compiler of
# Rust is not in it: cross mounts the one of this machine.
FROM ghcr.io/cross-rs/aarch64-unknown-linux-gnu:0.2.5

# The C compiler in it (GCC 5) does not say for which ARM it assembles, and ring, the only dependency with assembler
# and much C, refuses to guess. 8 is what every 64-bit ARM is at least.
ENV CFLAGS_aarch64_unknown_linux_gnu="-D__ARM_ARCH=8"
