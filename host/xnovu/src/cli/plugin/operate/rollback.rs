//! `xnovu plugin rollback`.

use std::process::ExitCode;

use serde_json::json;
use xnovu_rules::RolledBack;

use super::reload::reload_all;
use super::{RollbackArgs, name, running};
use crate::cli::output::Output;
use crate::config::Layers;
use crate::control::Client;
use crate::control::plugins::{Reloaded, Whose};

pub(super) async fn rollback(args: RollbackArgs, layers: &Layers, output: Output) -> anyhow::Result<ExitCode> {
    let processes = running(layers)?;
    // One process decides and writes the choice down; the others find it there.
    let Some((first, others)) = processes.split_first() else { return Ok(ExitCode::FAILURE) };
    let whose = Whose { enterprise: args.enterprise };
    let told = if args.undo { undo(first, &whose).await? } else { back(first, &whose).await? };
    let mut all_told = true;
    for (process, answer) in others.iter().zip(reload_all(others).await) {
        if let Err(error) = answer {
            all_told = false;
            output.note(&format!("warning: {} will find the change by itself: {error}", name(process)));
        }
    }
    if output.json() {
        output.line(&format!("{:#}", told.document));
    } else {
        output.line(&told.line);
        output.note(&format!("note: {}", told.note));
    }
    Ok(if all_told { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What came of it, for people and for scripts.
struct Told {
    line: String,
    note: String,
    document: serde_json::Value,
}

async fn back(process: &Client, whose: &Whose) -> anyhow::Result<Told> {
    let rolled: RolledBack = process.post("/admin/plugins/rollback", whose).await?;
    let enterprise = &whose.enterprise;
    Ok(Told {
        line: format!("{enterprise}: {} decides again, in place of {}", rolled.to, rolled.from),
        note: format!(
            "this holds until another component lies in the plugin's directory, or: xnovu plugin rollback {} --undo",
            if enterprise == "*" { "'*'" } else { enterprise }
        ),
        document: json!({"enterprise": enterprise, "rolled_back": rolled}),
    })
}

async fn undo(process: &Client, whose: &Whose) -> anyhow::Result<Told> {
    let reloaded: Reloaded = process.post("/admin/plugins/undo-rollback", whose).await?;
    let enterprise = &whose.enterprise;
    let what = format!("enterprise {enterprise}");
    let outcome = reloaded.outcomes.iter().find(|outcome| outcome.what == what);
    Ok(Told {
        line: format!("{enterprise}: {}", outcome.map_or("no longer bound", |outcome| &outcome.outcome)),
        note: "what lies in the plugins' directory decides again".to_owned(),
        document: json!({"enterprise": enterprise, "undone": reloaded}),
    })
}
