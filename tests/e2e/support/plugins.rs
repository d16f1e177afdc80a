//! The sample plugins, built as their authors build them and bound as an operator binds them.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::{ENTERPRISES, House};

/// A plugin, the enterprise it is bound to and the settings it gets there, as lines of `bindings.toml` below the enterprise's table.
pub struct Bound<'a> {
    pub plugin: &'a str,
    pub enterprise: &'a str,
    pub settings: String,
}

/// `priority-desk` for the second enterprise: tag `promo` is dropped, tag `vip` goes first.
pub fn priority_desk() -> Bound<'static> {
    let enterprise = ENTERPRISES[1];
    let settings = format!(
        "[[enterprises.\"{enterprise}\".config.drop]]\ntag = \"promo\"\n\
         [[enterprises.\"{enterprise}\".config.raise]]\nwhen = {{ tag = \"vip\" }}\nto = 500\n"
    );
    Bound { plugin: "priority-desk", enterprise, settings }
}

/// `quiet-hours` for the third enterprise, by the clock of UTC: from `HH:MM` to `HH:MM`.
pub fn quiet_hours(from: &str, to: &str) -> Bound<'static> {
    let enterprise = ENTERPRISES[2];
    let settings =
        format!("[enterprises.\"{enterprise}\".config]\ntimezone = \"UTC\"\nfrom = \"{from}\"\nto = \"{to}\"\n");
    Bound { plugin: "quiet-hours", enterprise, settings }
}

/// `fire-safety` for the fourth enterprise; emergencies get a text message.
pub fn fire_safety() -> Bound<'static> {
    let enterprise = ENTERPRISES[3];
    let settings = format!("[enterprises.\"{enterprise}\".config.channels.emergency.sms]\ncontent = \"Leave.\"\n");
    Bound { plugin: "fire-safety", enterprise, settings }
}

/// Puts the plugins and their `bindings.toml` where the house's processes look for them.
pub fn bind(house: &House, bound: &[Bound<'_>]) {
    let mut bindings = String::new();
    for Bound { plugin, enterprise, settings } in bound {
        write!(bindings, "[enterprises.\"{enterprise}\"]\nplugin = \"{plugin}\"\n{settings}\n").unwrap();
        let (dir, built) = (house.plugins().join(plugin), built_samples().join(plugin));
        fs::create_dir_all(&dir).unwrap();
        for file in ["plugin.toml", "config.schema.json", &format!("{plugin}.wasm")] {
            fs::copy(built.join(file), dir.join(file)).unwrap();
        }
    }
    fs::write(house.plugins().join("bindings.toml"), bindings).unwrap();
}

/// Binds `priority-desk` alone.
pub fn bind_priority_desk(house: &House) {
    bind(house, &[priority_desk()]);
}

/// The directory of the samples, after they were built once this run by the program's own command.
fn built_samples() -> &'static Path {
    static SAMPLES: OnceLock<PathBuf> = OnceLock::new();
    SAMPLES.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
        let mut build = Command::new(env!("CARGO_BIN_EXE_xnovu"));
        build.args(["plugin", "build"]).current_dir(root).env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
        let output = build.output().unwrap();
        assert!(output.status.success(), "the samples do not build: {}", String::from_utf8_lossy(&output.stderr));
        root.join("plugins")
    })
}
