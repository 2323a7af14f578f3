//! The built page is embedded: when it changes, this crate is compiled again.

fn main() {
    println!("cargo:rerun-if-changed=dist");
}
