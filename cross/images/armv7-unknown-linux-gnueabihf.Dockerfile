# Raspberry Pi 2, 3, 4 and Zero 2 W with a 32-bit system.

# cross's own image of the same version as cross: a C compiler and linker for the target, and a system library so old
# (glibc 2.23) that programs linked against it run on every Raspberry Pi OS since 2017. Its compiler makes code for
# ARMv7 unless told otherwise, which the Pi 1 and Zero do not understand. Nothing is added: ring, the only dependency
# with assembler and much C, is content with it.
FROM ghcr.io/cross-rs/armv7-unknown-linux-gnueabihf:0.2.5
