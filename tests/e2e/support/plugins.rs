//! A sample plugin, built as its author would and bound as an operator would.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use wit_component::ComponentEncoder;

use super::{ENTERPRISES, House};

/// Binds `priority-desk` to the second enterprise: tag `promo` is dropped, tag `vip` goes first.
pub fn bind_priority_desk(house: &House) {
    let dir = house.plugins().join("priority-desk");
    fs::create_dir_all(&dir).unwrap();
    for file in ["plugin.toml", "config.schema.json"] {
        fs::copy(root().join("plugins/priority-desk").join(file), dir.join(file)).unwrap();
    }
    fs::write(dir.join("priority-desk.wasm"), priority_desk()).unwrap();
    let enterprise = ENTERPRISES[1];
    let bindings = format!(
        "[enterprises.\"{enterprise}\"]\nplugin = \"priority-desk\"\n\
         [[enterprises.\"{enterprise}\".config.drop]]\ntag = \"promo\"\n\
         [[enterprises.\"{enterprise}\".config.raise]]\nwhen = {{ tag = \"vip\" }}\nto = 500\n"
    );
    fs::write(house.plugins().join("bindings.toml"), bindings).unwrap();
}

/// The component, built once a run.
fn priority_desk() -> &'static [u8] {
    static COMPONENT: OnceLock<Vec<u8>> = OnceLock::new();
    COMPONENT.get_or_init(|| {
        let target = root().join("target/plugins-e2e");
        let output = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--release", "--locked", "--target", "wasm32-unknown-unknown", "--target-dir"])
            .arg(&target)
            .arg("--manifest-path")
            .arg(root().join("plugins/priority-desk/Cargo.toml"))
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .output()
            .unwrap();
        assert!(output.status.success(), "priority-desk does not build: {}", String::from_utf8_lossy(&output.stderr));
        let module = fs::read(target.join("wasm32-unknown-unknown/release/priority_desk.wasm")).unwrap();
        ComponentEncoder::default().validate(true).module(&module).unwrap().encode().unwrap()
    })
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}
