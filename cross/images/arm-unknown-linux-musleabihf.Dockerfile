# Raspberry Pi 1, Zero and Zero W.

# cross's own image of the same version as cross: a C compiler made for ARMv6 with floating point, as these have, and
# musl. That every object is for ARMv6 is why musl was chosen: the glibc of other distributions is for ARMv7, and a
# program linked against it dies at its first instruction here. Linked statically, it needs no library of the device
# at all. Nothing is added: ring, the only dependency with assembler and much C, is content with it.
FROM ghcr.io/cross-rs/arm-unknown-linux-musleabihf:0.2.5
