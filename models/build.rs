//! Says to the machines that they are compiled for the model checker.

fn main() {
    println!("cargo::rustc-cfg=loom");
}
