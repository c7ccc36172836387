//! One run from its beginning to its report: finds or starts the server, opens every connection, runs the scenario beside the
//! watch, and asks the journal where it may. Must never leave a server of its own running.

use super::error::LoadError;
use super::field::Field;
use super::findings::Findings;
use super::levels::{self, Level};
use super::report::Report;
use super::scenario;
use super::settings::Settings;
use super::target::TargetServer;
use super::truth;
use super::watch::{Progress, Watch};
use super::wire::{Idle, Wire};
use crate::machine::{memory, processor};
use crate::scene::Scene;
use onsale_server::client::Client;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;
use tokio::task::LocalSet;

/// How long an interrupted run may still take.
const END_TIMEOUT: Duration = Duration::from_secs(3);

/// Runs a scenario to its end, or until `interrupted`, and says what came of it.
///
/// # Errors
/// See [`LoadError`]; a level that is missed is no error but in the report.
pub fn run(
    settings: Settings,
    progress: &Progress,
    interrupted: impl Future<Output = ()>,
) -> Result<Report, LoadError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = LocalSet::new();
    local.block_on(&runtime, load(settings, progress, interrupted))
}

async fn load(
    settings: Settings,
    progress: &Progress,
    interrupted: impl Future<Output = ()>,
) -> Result<Report, LoadError> {
    let mut interrupted = Box::pin(interrupted);
    let began = jiff::Timestamp::now();
    // A server of our own ends with its value, also when this is given up half-way.
    let (target, field, idle) = tokio::select! {
        biased;
        () = &mut interrupted => return Err(LoadError::Interrupted),
        ready = prepare(settings) => ready?,
    };
    let mut watch = Watch::new(&field, target.process, progress);
    let ran = {
        let mut scenario = Box::pin(scenario::run(&field));
        let mut watching = Box::pin(watch.run());
        tokio::select! {
            ran = &mut scenario => Some(ran),
            () = &mut watching => None,
            () = &mut interrupted => {
                field.stopped.set(true);
                tokio::time::timeout(END_TIMEOUT, &mut scenario).await.ok()
            }
        }
    };
    watch.close();
    let findings = ran.unwrap_or_else(|| {
        Err(LoadError::Target("the run was interrupted and could not be summed up in time".into()))
    })?;
    let memory = target.process.and_then(|process| memory(process).ok());
    let invariants = field.scene.metric("onsale_invariant_violations").await;
    let mut levels = levels::common(&field.tally.borrow().rows(), &field.settings.limits, failed(&field));
    levels.extend(findings.levels.iter().cloned());
    levels.push(match invariants {
        Ok(many) => Level::new("onsale_invariant_violations", "0", many.to_string(), many == 0.0),
        Err(why) => Level::new("onsale_invariant_violations", "0", why.to_string(), false),
    });
    levels.extend(idle_level(&idle));
    if let Some(memory) = memory {
        let (peak, limit) = (memory.peak >> 20, field.settings.limits.memory_mib);
        let asked = limit.map_or_else(|| "reported".to_owned(), |limit| format!("≤ {limit} MiB"));
        let met = limit.is_none_or(|limit| peak <= limit);
        levels.push(Level::new("server's memory at its peak", asked, format!("{peak} MiB"), met));
    }
    drop(idle);
    if let Some(left) = target.end()? {
        let event = field.event.borrow().clone();
        levels.extend(truth::check(&left.data, &event, &findings, field.settings.limits.held_percent)?);
    }
    Ok(sum_up(&field, began, levels, findings))
}

/// Finds the server, opens every connection and makes every token.
async fn prepare(settings: Settings) -> Result<(TargetServer, Rc<Field>, Idle), LoadError> {
    let target = TargetServer::of(&settings).await?;
    let scene = Scene::signed(Client::new(target.base.clone()), &target.secret);
    let wire = Wire::open(target.address, settings.transport, settings.connections).await?;
    let idle = Idle::open(target.address, settings.idle_sockets).await?;
    let field = Rc::new(Field::new(settings, scene, target.base.clone(), wire));
    field.mint(field.settings.buyers);
    Ok((target, field, idle))
}

fn failed(field: &Field) -> u64 {
    field.tally.borrow().rows().iter().map(|row| row.failed).sum()
}

fn idle_level(idle: &Idle) -> Option<Level> {
    let (open, broken) = idle.story();
    let mut level = Level::new(
        "idle sockets stay open",
        "0 broken",
        format!("{} of {open} broken", broken.len()),
        broken.is_empty(),
    );
    level.faults = broken.into_iter().take(5).collect();
    (open > 0).then_some(level)
}

fn sum_up(field: &Field, began: jiff::Timestamp, levels: Vec<Level>, findings: Findings) -> Report {
    let (settings, tally) = (&field.settings, field.tally.borrow());
    let (name, cores) = processor();
    let mut setting = vec![
        ("buyers".to_owned(), format!("{} within {} s", settings.buyers, settings.arrive.as_secs_f64())),
        ("transport".to_owned(), settings.transport.in_words(settings.connections)),
        ("machine".to_owned(), format!("{cores} × {name}, shared by server and load")),
    ];
    if settings.streams {
        setting.push(("waiting".to_owned(), "an event stream each".to_owned()));
    }
    if settings.idle_sockets > 0 {
        setting.push(("idle sockets beside".to_owned(), settings.idle_sockets.to_string()));
    }
    if let Some(rate) = findings.rate {
        setting.push(("let in".to_owned(), format!("{rate} a second")));
    }
    Report {
        scenario: settings.scenario.to_string(),
        setting,
        began: began.to_string(),
        took_seconds: field.began().elapsed().as_secs_f64(),
        interrupted: field.stopped.get(),
        met: levels.iter().all(|level| level.met),
        levels,
        requests: tally.requests(),
        beside: field.beside.get() + field.scene.answers(),
        calls: tally.rows(),
        lateness: tally.lateness(),
        failures: tally.failures(),
        rate: findings.rate,
        pace: findings.pace,
        refusals: tally.refusals(),
        story: findings.story,
        seconds: tally.seconds().to_vec(),
    }
}
