//! `xnovu daemon logs`.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Seek};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;

use super::super::output::Output;
use crate::config::{Layers, state_dir};
use crate::control::{Role, StateDir};

/// Time between two looks for more.
const LOOK: Duration = Duration::from_millis(200);

#[derive(Args)]
pub(super) struct LogsArgs {
    /// Lines of the end to show
    #[arg(long, short = 'n', value_name = "N", default_value_t = 50)]
    lines: usize,

    /// Go on with what is added, until Ctrl-C
    #[arg(long, short)]
    follow: bool,
}

pub(super) async fn logs(args: &LogsArgs, layers: &Layers, output: Output) -> anyhow::Result<ExitCode> {
    let path = StateDir::at(&state_dir(layers)?)?.log(&Role::Daemon);
    let log = match File::open(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => anyhow::bail!(
            "there is no log at {}\n  hint: only a daemon started with --detach writes one; another's goes to its terminal or service manager",
            path.display()
        ),
        opened => opened.with_context(|| format!("opening {}", path.display()))?,
    };
    let mut log = BufReader::new(log);
    last_lines(&mut log, args.lines)?.iter().for_each(|line| output.line(line));
    if args.follow {
        follow(log, &path, output).await?;
    }
    Ok(ExitCode::SUCCESS)
}

fn last_lines(log: &mut impl BufRead, count: usize) -> anyhow::Result<VecDeque<String>> {
    let mut lines = VecDeque::with_capacity(count.min(1_000));
    let mut line = Vec::new();
    while log.read_until(b'\n', &mut line).context("reading the log")? > 0 {
        if lines.len() == count {
            lines.pop_front();
        }
        if count > 0 {
            lines.push_back(String::from_utf8_lossy(&line).trim_end().to_owned());
        }
        line.clear();
    }
    Ok(lines)
}

/// Shows what is added, also after the log was cut or begun anew.
async fn follow(mut log: BufReader<File>, path: &Path, output: Output) -> anyhow::Result<()> {
    let mut line = Vec::new();
    loop {
        while log.read_until(b'\n', &mut line).context("reading the log")? > 0 && line.ends_with(b"\n") {
            output.line(String::from_utf8_lossy(&line).trim_end());
            line.clear();
        }
        tokio::time::sleep(LOOK).await;
        if is_another(&mut log, path)? {
            log = BufReader::new(File::open(path).with_context(|| format!("opening {}", path.display()))?);
            line.clear();
        }
    }
}

/// Whether the log was cut, or another file has its name.
fn is_another(log: &mut BufReader<File>, path: &Path) -> anyhow::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let at = log.stream_position().context("reading the log")?;
    let open = log.get_ref().metadata().context("reading the log")?;
    Ok(open.len() < at || std::fs::metadata(path).is_ok_and(|named| named.ino() != open.ino()))
}
