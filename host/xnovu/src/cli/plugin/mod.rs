//! What an author of plugins does: begin one, work on it, build it, try it, measure it, check it, look into it. What an operator does with
//! them is [`operate`].
//!
//! Owns the verbs' flags and where they look. The author's work without any setting, database or daemon.

mod bench;
mod build;
mod cargo;
mod case;
mod check;
mod component;
mod dev;
mod difference;
mod inspect;
mod new;
mod operate;
mod project;
mod sdk;
mod test;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};
use tokio::runtime::Handle;
use xnovu_rules::{Limits, Workbench};

use super::output::Output;
use crate::config::Layers;
use crate::parts::compiler;

/// Wall time a call may take that is tried by hand, in milliseconds.
const WALL_MS: u64 = 10_000;

/// Write, build, try, measure and check plugins, and look after those that run.
#[derive(Debug, Subcommand)]
pub enum PluginCommand {
    /// Begin a plugin that builds as it is.
    New(NewArgs),
    /// Compile plugins and put each component beside its plugin.toml.
    Build(ProjectArgs),
    /// Run the cases of plugins in the very sandbox the daemon uses.
    Test(ProjectArgs),
    /// Build and test a plugin again whenever its files change, and show what it answers. Ctrl-C ends.
    Dev(dev::DevArgs),
    /// Measure what an evaluation costs: time, fuel and memory, against the limits and an earlier run.
    Bench(bench::BenchArgs),
    /// Look at all that makes a plugin fit for an operator: imports, size, determinism, limits, settings.
    Check(ProjectArgs),
    /// Say what a component exports, imports and may do.
    Inspect(InspectArgs),
    /// Look after the rules that run.
    #[command(flatten)]
    Operate(operate::OperateCommand),
}

/// Which plugin to begin.
#[derive(Debug, Args)]
pub struct NewArgs {
    /// Name: lower-case letters, digits and single hyphens, a letter first
    #[arg(value_name = "NAME")]
    name: String,

    /// Directory to put it into [default: plugins]
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    dir: Option<PathBuf>,
}

/// Which plugins to work on.
#[derive(Debug, Args)]
pub struct ProjectArgs {
    /// Directories with a plugin.toml [default: all in the plugins' directory]
    #[arg(value_name = "DIR")]
    dirs: Vec<PathBuf>,

    /// Directory of bindings.toml and the plugins [default: plugins]
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    plugins: Option<PathBuf>,
}

/// What to look into.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// A component, or the directory of a plugin that was built
    #[arg(value_name = "FILE|DIR")]
    path: PathBuf,
}

/// Where the verbs look and what they leave behind, unless a flag says otherwise.
#[derive(Debug, Clone)]
struct Places {
    /// The directory of bindings.toml and the plugins.
    plugins: PathBuf,
    /// Compiled components and build directories that have no better place.
    state: PathBuf,
    /// Where cargo keeps the sources of dependencies, so that their paths can be kept out of components.
    cargo_home: Option<PathBuf>,
}

/// The limits of whoever is tried by hand: those of a binding that sets none, but for wall time. A busy machine is no fault of a plugin, and
/// what never ends is ended by its fuel, alike on every machine.
fn usual_limits() -> Limits {
    Limits { wall_ms: WALL_MS, ..Limits::default() }
}

impl Places {
    /// The sandbox plugins are tried in: the daemon's own, with what it compiles kept for the next time.
    ///
    /// # Errors
    /// It cannot be set up.
    fn sandbox(&self) -> anyhow::Result<Workbench> {
        let cache = self.state.join("compiled");
        Workbench::open(&cache, compiler()).with_context(|| format!("opening a sandbox in {}", cache.display()))
    }

    fn of(layers: &Layers) -> Self {
        let below_home = |dir: &str| Some(Path::new(layers.get("HOME")?).join(dir));
        let user_cache = || layers.get("XDG_CACHE_HOME").map(PathBuf::from).or_else(|| below_home(".cache"));
        let state = layers.get("XNOVU_STATE_DIR").map(PathBuf::from);
        Self {
            plugins: layers.get("XNOVU_PLUGINS").unwrap_or("plugins").into(),
            // Not the daemon's directory beside the caller: an author calls from anywhere, also from within a plugin.
            state: state.or_else(|| Some(user_cache()?.join("xnovu"))).unwrap_or_else(|| ".xnovu".into()),
            cargo_home: layers.get("CARGO_HOME").map(PathBuf::from).or_else(|| below_home(".cargo")),
        }
    }
}

/// Runs a verb and says how it ended.
///
/// # Errors
/// What could not be done; failures of a plugin's own (a case that fails, a component that is refused) are told on `output` and end
/// with exit code 1.
pub async fn run(command: PluginCommand, layers: &Layers, output: Output) -> anyhow::Result<ExitCode> {
    let places = Places::of(layers);
    // Every verb waits for files, compilers or components, and the command does nothing else meanwhile.
    let layers = layers.clone();
    let verb = move || match command {
        PluginCommand::New(args) => new::run(&args.name, args.dir.as_deref().unwrap_or(&places.plugins), output),
        PluginCommand::Build(args) => build::run(&args, &places, output),
        PluginCommand::Test(args) => test::run(&args, &places, output),
        PluginCommand::Dev(args) => Handle::current().block_on(dev::run(&args, &places, output)),
        PluginCommand::Bench(args) => bench::run(&args, &places, output),
        PluginCommand::Check(args) => check::run(&args, &places, output),
        PluginCommand::Inspect(args) => inspect::run(&args.path, output),
        PluginCommand::Operate(command) => {
            Handle::current().block_on(operate::run(command, places.plugins, &layers, output))
        }
    };
    tokio::task::spawn_blocking(verb).await.context("running the command")?
}

/// Builds the plugins of the settings' directory that have no component yet, so that a fresh checkout runs.
///
/// # Errors
/// What could not be built, and why.
pub(super) async fn build_missing(layers: &Layers, output: Output) -> anyhow::Result<()> {
    let places = Places::of(layers);
    let dirs = project::unbuilt(&places)?;
    if dirs.is_empty() {
        return Ok(());
    }
    output.note(&format!("building {} plugin(s), this once", dirs.len()));
    let args = ProjectArgs { dirs, plugins: None };
    tokio::task::spawn_blocking(move || build::run(&args, &places, output)).await.context("building plugins")??;
    Ok(())
}

#[cfg(test)]
mod tests;
