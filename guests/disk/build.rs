//! Keeps the program small: 4 KiB segments, no symbols.

fn main() {
    println!("cargo:rustc-link-arg-bins=-zmax-page-size=4096");
    println!("cargo:rustc-link-arg-bins=--strip-all");
    println!("cargo:rerun-if-changed=build.rs");
}
