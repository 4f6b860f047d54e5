//! Links the program as a flat arm64 Image.

fn main() {
    let script = std::path::Path::new(&std::env::var("CARGO_MANIFEST_DIR").expect("set by cargo"))
        .join("image.ld");
    let map = std::path::Path::new(&std::env::var("OUT_DIR").expect("set by cargo"))
        .join("zazen-el2.map");
    println!("cargo:rustc-link-arg-bins=-T{}", script.display());
    println!("cargo:rustc-link-arg-bins=-Map={}", map.display());
    println!("cargo:rustc-link-arg-bins=--oformat=binary");
    println!("cargo:rerun-if-changed=image.ld");
}
