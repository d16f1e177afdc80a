//! The compiler, called through cargo.
//!
//! Owns the settings every component is compiled with, so that an author's Cargo.toml need not know of them. Promises that the same
//! sources give the same bytes: paths of this machine do not reach the component. What cargo says goes to the person as it is.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};
use serde::Deserialize;

use crate::cli::output::Output;

/// The stack of a component, in bytes. What is not there need not be made ready for every event; rules are no deep recursions.
const STACK_BYTES: u32 = 64 * 1024;

/// How components are compiled: for speed, in one piece, and so that a panic is a trap. An author's own settings yield to these.
const PROFILE: [&str; 6] = [
    "profile.release.opt-level=3",
    "profile.release.lto=\"fat\"",
    "profile.release.codegen-units=1",
    "profile.release.panic=\"abort\"",
    "profile.release.strip=true",
    "profile.release.debug=false",
];

/// Separates flags in `CARGO_ENCODED_RUSTFLAGS`.
const FLAG_SEPARATOR: &str = "\u{1f}";

/// One plugin to compile.
pub(super) struct Compilation<'a> {
    /// The directory of its Cargo.toml.
    pub(super) dir: &'a Path,
    /// The target.
    pub(super) triple: &'a str,
    /// Where cargo works.
    pub(super) target_dir: &'a Path,
    /// Where cargo keeps the sources of dependencies.
    pub(super) cargo_home: Option<&'a Path>,
}

/// What cargo tells of each thing it made; every other message is none of these.
#[derive(Deserialize)]
struct Message {
    reason: String,
    manifest_path: Option<PathBuf>,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

impl Compilation<'_> {
    /// Compiles, and says which file came of it.
    ///
    /// # Errors
    /// There is no cargo; it failed, and has told why on stderr; or it made no WebAssembly.
    pub(super) fn run(&self) -> anyhow::Result<PathBuf> {
        let manifest = self.dir.join("Cargo.toml");
        ensure!(manifest.exists(), "{} is not there, and only Rust is built", manifest.display());
        let mut cargo = self.command(&manifest).spawn().context(NO_CARGO)?;
        let stdout = cargo.stdout.take().context("cargo has no output")?;
        let made =
            BufReader::new(stdout).lines().map_while(Result::ok).filter_map(|line| self.component_of(&line)).last();
        let status = cargo.wait().context("waiting for cargo")?;
        ensure!(status.success(), "cargo could not compile it ({status}); its messages are above");
        made.with_context(|| {
            format!("cargo made no WebAssembly\nhint: {} needs\n[lib]\ncrate-type = [\"cdylib\"]", manifest.display())
        })
    }

    fn command(&self, manifest: &Path) -> Command {
        let mut command = Command::new("cargo");
        command.args(["build", "--release", "--lib", "--message-format", "json-render-diagnostics"]);
        command.args(["--target", self.triple]).arg("--target-dir").arg(self.target_dir);
        command.arg("--manifest-path").arg(manifest);
        command.args(PROFILE.iter().flat_map(|setting| ["--config", setting]));
        command.env("CARGO_ENCODED_RUSTFLAGS", self.flags().join(FLAG_SEPARATOR));
        // The plugin's own toolchain file and settings count, wherever the command is called from.
        command.current_dir(self.dir).stdin(Stdio::null()).stdout(Stdio::piped());
        command
    }

    /// Flags for the compiler. The same for all plugins of a directory, so that they share what is compiled.
    fn flags(&self) -> Vec<String> {
        let stack = format!("-Clink-arg=-zstack-size={STACK_BYTES}");
        let plugins = self.dir.parent().map(|dir| (dir, "/plugins"));
        let workspace = self.dir.parent().and_then(Path::parent).map(|dir| (dir, ""));
        let cargo_home = self.cargo_home.map(|dir| (dir, "/cargo"));
        // Of several that fit, the compiler takes the last.
        let remapped = [workspace, plugins, cargo_home].into_iter().flatten();
        let remaps = remapped.map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display()));
        std::iter::once(stack).chain(remaps).collect()
    }

    /// The file, if the line tells of this plugin's component.
    fn component_of(&self, line: &str) -> Option<PathBuf> {
        let message: Message = serde_json::from_str(line).ok()?;
        let ours = message.manifest_path.is_some_and(|path| path.parent() == Some(self.dir));
        let is_wasm = |file: &PathBuf| file.extension().is_some_and(|extension| extension == "wasm");
        message.filenames.into_iter().find(is_wasm).filter(|_| ours && message.reason == "compiler-artifact")
    }
}

const NO_CARGO: &str = "calling cargo, the Rust build tool; install Rust from https://rustup.rs";

/// Makes sure that the compiler has the target's standard library.
///
/// # Errors
/// There is no compiler, or the target is missing and cannot be installed; says by which command it is.
pub(super) fn require_target(dir: &Path, triple: &str, output: Output) -> anyhow::Result<()> {
    let mut rustc = Command::new("rustc");
    rustc.args(["--print", "target-libdir", "--target", triple]).current_dir(dir);
    let answer = rustc.output().context(NO_CARGO)?;
    let libraries = String::from_utf8_lossy(&answer.stdout);
    if answer.status.success() && Path::new(libraries.trim()).is_dir() {
        return Ok(());
    }
    output.note(&format!("the Rust target {triple} is missing; installing it: rustup target add {triple}"));
    let added = Command::new("rustup").args(["target", "add", triple]).current_dir(dir).stdout(Stdio::null()).status();
    match added {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => bail!("the Rust target {triple} could not be installed\nhint: rustup target add {triple}"),
        Err(_) => bail!(
            "the Rust target {triple} is missing and there is no rustup to install it\nhint: install the package of your system \
             that holds the standard library for {triple}, or Rust from https://rustup.rs and then: rustup target add {triple}"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compilation() -> Compilation<'static> {
        Compilation {
            dir: Path::new("/home/ann/desk/plugins/mute"),
            triple: "wasm32-unknown-unknown",
            target_dir: Path::new("/home/ann/desk/target/plugins"),
            cargo_home: Some(Path::new("/home/ann/.cargo")),
        }
    }

    #[test]
    fn flags_keep_this_machines_paths_out_and_are_the_same_for_neighbours() {
        let flags = compilation().flags();
        let want = [
            "-Clink-arg=-zstack-size=65536",
            "--remap-path-prefix=/home/ann/desk=",
            "--remap-path-prefix=/home/ann/desk/plugins=/plugins",
            "--remap-path-prefix=/home/ann/.cargo=/cargo",
        ];
        assert_eq!(flags, want);
        assert_eq!(Compilation { dir: Path::new("/home/ann/desk/plugins/desk"), ..compilation() }.flags(), flags);
    }

    #[test]
    fn the_component_is_the_plugins_own_artifact() {
        let made = |reason: &str, dir: &str, file: &str| {
            let line = serde_json::json!({"reason": reason, "manifest_path": format!("{dir}/Cargo.toml"), "filenames": [file]});
            compilation().component_of(&line.to_string())
        };
        let here = "/home/ann/desk/plugins/mute";
        assert_eq!(made("compiler-artifact", here, "/t/mute.wasm"), Some("/t/mute.wasm".into()));
        assert_eq!(made("compiler-artifact", "/elsewhere", "/t/mute.wasm"), None);
        assert_eq!(made("compiler-artifact", here, "/t/libmute.rlib"), None);
        assert_eq!(made("build-script-executed", here, "/t/mute.wasm"), None);
        assert_eq!(compilation().component_of("warning: not JSON"), None);
    }
}
