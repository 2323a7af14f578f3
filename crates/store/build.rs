//! Rebuilds when a migration is added. The macro that embeds migrations cannot report this dependency to cargo.
fn main() {
    println!("cargo:rerun-if-changed=../../migrations");
}
