//! Makes cargo see new migration files: they are embedded by directory.

fn main() {
    println!("cargo::rerun-if-changed=migrations");
}
