//! `xnovu plugin build`: from an author's sources to the component the daemon loads.
//!
//! Owns the order of the steps and how the result reaches the directory the daemon watches: written beside and renamed, so that no
//! half of a component is ever seen, and not at all where nothing has changed.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use serde_json::json;
use xnovu_rules::Digest;

use super::cargo::{self, Compilation};
use super::project::{Project, projects, relative};
use super::{Places, ProjectArgs, component};
use crate::cli::output::Output;

pub(super) fn run(args: &ProjectArgs, places: &Places, output: Output) -> anyhow::Result<ExitCode> {
    let mut built = Vec::new();
    for project in projects(args, places)? {
        let wasm =
            build(&project, places, output).with_context(|| format!("building the plugin {}", project.name()))?;
        let file = project.component();
        let changed = replace(&file, &wasm).with_context(|| format!("writing {}", file.display()))?;
        let digest = Digest::of(&wasm);
        if !output.json() {
            let word = if changed { "built" } else { "unchanged" };
            let shown = relative(&file);
            output.line(&format!("{word}  {}  {} bytes  {}", shown.display(), wasm.len(), digest.short()));
        }
        built.push(json!({"name": project.name(), "version": project.manifest.version.to_string(), "file": file,
            "bytes": wasm.len(), "digest": digest.to_string(), "changed": changed}));
    }
    if output.json() {
        output.line(&format!("{:#}", json!({ "built": built })));
    }
    Ok(ExitCode::SUCCESS)
}

/// The component of a plugin, compiled, checked and stamped.
pub(super) fn build(project: &Project, places: &Places, output: Output) -> anyhow::Result<Vec<u8>> {
    let triple = project.manifest.target.triple();
    cargo::require_target(&project.dir, triple, output)?;
    let compilation = Compilation {
        dir: &project.dir,
        triple,
        target_dir: &target_dir(&project.dir, places)?,
        cargo_home: places.cargo_home.as_deref(),
    };
    let compiled = compilation.run()?;
    let wasm = fs::read(&compiled).with_context(|| format!("reading {}", compiled.display()))?;
    let component = component::from_compiler(wasm)?;
    component::check(&component)?;
    component::stamp(component, project)
}

/// Where cargo works: outside of the directory the daemon watches, and one place for all plugins, so that what they share is compiled
/// once.
fn target_dir(project: &Path, places: &Places) -> anyhow::Result<PathBuf> {
    let workspace = project.parent().and_then(Path::parent);
    let beside = workspace.filter(|root| root.join("Cargo.toml").exists() || root.join("target").exists());
    let dir = beside.map_or_else(|| places.state.join("build"), |root| root.join("target/plugins"));
    std::path::absolute(&dir).with_context(|| format!("resolving {}", dir.display()))
}

/// Puts the bytes into the file unless they are there already. Says whether it did.
pub(super) fn replace(file: &Path, bytes: &[u8]) -> std::io::Result<bool> {
    if fs::read(file).is_ok_and(|present| present == bytes) {
        return Ok(false);
    }
    let beside = file.with_extension(format!("wasm.{}.tmp", std::process::id()));
    let written = File::create(&beside).and_then(|mut new| {
        new.write_all(bytes)?;
        new.sync_all()?;
        fs::rename(&beside, file)
    });
    if written.is_err() {
        // The first error is the one to tell.
        let _ = fs::remove_file(&beside);
    }
    written.map(|()| true)
}
