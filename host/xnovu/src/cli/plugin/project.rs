//! A plugin as its author has it: a directory with a plugin.toml.
//!
//! Owns how the directories of a command are found and how their manifests are read. Never builds or runs anything.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use xnovu_rules::{MANIFEST_FILE, Manifest};

use super::{Places, ProjectArgs};

/// A plugin to work on.
#[derive(Debug)]
pub(super) struct Project {
    /// Its directory, absolute.
    pub(super) dir: PathBuf,
    /// What its plugin.toml says.
    pub(super) manifest: Manifest,
}

impl Project {
    /// Reads the plugin of a directory.
    ///
    /// # Errors
    /// There is no plugin.toml, or it has mistakes: all of them.
    pub(super) fn open(dir: &Path) -> anyhow::Result<Self> {
        let file = dir.join(MANIFEST_FILE);
        let shown = file.display().to_string();
        ensure!(file.exists(), "{shown} is not there\nhint: begin a plugin with `xnovu plugin new <name>`");
        let text = fs::read_to_string(&file).with_context(|| format!("reading {shown}"))?;
        let manifest = Manifest::parse(&shown, &text).map_err(|mistakes| {
            let lines: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
            anyhow::Error::msg(lines.join("\n"))
        })?;
        let dir = dir.canonicalize().with_context(|| format!("resolving {}", dir.display()))?;
        let named = dir.file_name().is_some_and(|name| name == manifest.name.as_str());
        ensure!(
            named,
            "{shown} says name = {:?}, but the directory is {}\nhint: a plugin has the name of its directory",
            manifest.name,
            dir.display()
        );
        Ok(Self { dir, manifest })
    }

    /// The name of the plugin.
    pub(super) fn name(&self) -> &str {
        &self.manifest.name
    }

    /// Where its component lies once it is built.
    pub(super) fn component(&self) -> PathBuf {
        self.dir.join(format!("{}.wasm", self.manifest.name))
    }

    /// Its component, which must have been built.
    ///
    /// # Errors
    /// It was not.
    pub(super) fn built(&self) -> anyhow::Result<PathBuf> {
        let (file, dir) = (self.component(), relative(&self.dir));
        ensure!(
            file.exists(),
            "{} is not there\nhint: xnovu plugin build {}",
            relative(&file).display(),
            dir.display()
        );
        Ok(file)
    }
}

/// The plugins a command is about: those named, else all in the plugins' directory by name.
///
/// # Errors
/// A directory cannot be read, a plugin.toml has mistakes, or there is no plugin at all.
pub(super) fn projects(args: &ProjectArgs, places: &Places) -> anyhow::Result<Vec<Project>> {
    if !args.dirs.is_empty() {
        return args.dirs.iter().map(|dir| Project::open(dir)).collect();
    }
    let plugins = args.plugins.as_ref().unwrap_or(&places.plugins);
    let shown = plugins.display();
    let entries = fs::read_dir(plugins)
        .with_context(|| format!("looking for plugins in {shown}; name a directory, or say where with --plugins"))?;
    let mut dirs = Vec::new();
    for entry in entries {
        let dir = entry.with_context(|| format!("listing {shown}"))?.path();
        if dir.join(MANIFEST_FILE).exists() {
            dirs.push(dir);
        }
    }
    if dirs.is_empty() {
        bail!("no directory in {shown} has a {MANIFEST_FILE}\nhint: begin a plugin with `xnovu plugin new <name>`");
    }
    dirs.sort();
    dirs.iter().map(|dir| Project::open(dir)).collect()
}

/// The directories of plugins that have no component yet. None where there is no plugins' directory.
///
/// # Errors
/// As [`projects`].
pub(super) fn unbuilt(places: &Places) -> anyhow::Result<Vec<PathBuf>> {
    if !places.plugins.is_dir() {
        return Ok(Vec::new());
    }
    let all = projects(&ProjectArgs { dirs: Vec::new(), plugins: None }, places)?;
    Ok(all.into_iter().filter(|project| !project.component().exists()).map(|project| project.dir).collect())
}

/// The path as a person in this directory would write it.
pub(super) fn relative(path: &Path) -> PathBuf {
    let here = std::env::current_dir().and_then(|here| here.canonicalize());
    here.ok().and_then(|here| path.strip_prefix(here).ok()).unwrap_or(path).to_owned()
}
