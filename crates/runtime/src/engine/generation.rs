//! One generation of tasks: everything that runs under one configuration.

use super::Options;
use super::adopt::Adopting;
use super::clockwork::Clockwork;
use super::events::Event;
use super::gather::Gathering;
use super::pool::{Busy, Pool};
use super::refusals;
use super::sources::{ImportState, Importing};
use super::watched;
use crate::built::Built;
use crate::config::{App, BuiltIn, Config, Enters, Runs};
use crate::context::{Context, Process};
use crate::project::Project;
use crate::stream::{Crew, Health, Jobs};
use handover_core::{AppName, Result};
use handover_file::arrive::Watcher;
use handover_ledger::Queue;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use tokio::sync::watch;
use tracing::warn;

/// What runs under one configuration.
pub(crate) struct Generation {
    pub(crate) ctx: Arc<Context>,
    end: watch::Sender<bool>,
    /// What is going on: claims, scans, attempts.
    pub(crate) busy: Arc<AtomicUsize>,
    /// Stream programs that run, with or without records.
    pub(crate) alive: Arc<AtomicUsize>,
    /// The importers, with what they say of themselves.
    pub(crate) importers: Vec<(AppName, ImportState)>,
    /// Counters of which each must have moved before `run --once` may end.
    pub(crate) rounds: Vec<Arc<AtomicUsize>>,
    /// What is worked on: the apps, each with the table that its deliveries stand in.
    pub(crate) pools: Vec<(AppName, Queue)>,
    /// The stream programs, with what is known of them.
    pub(crate) streams: Vec<(AppName, Arc<Health>)>,
    /// The apps for which records are gathered.
    pub(crate) gathering: Vec<AppName>,
    /// Asks for what waits to be gathered now, however little it is.
    pub(crate) flush: watch::Sender<u64>,
    _watchers: Vec<Watcher>,
}

impl Generation {
    /// Compiles the built-in apps and starts every task.
    pub(crate) fn start(project: Project, process: Arc<Process>, options: &Options) -> Result<Self> {
        let built = Built::new(&project.config)?;
        project.services.check()?;
        project.services.watch();
        let routes = project.config.routes();
        let doors = project.config.doors();
        let ctx = Arc::new(Context { project, routes, doors, built, process });
        let (end, _) = watch::channel(false);
        let mut generation = Self {
            ctx,
            end,
            busy: Arc::default(),
            alive: Arc::default(),
            importers: Vec::new(),
            rounds: Vec::new(),
            pools: Vec::new(),
            streams: Vec::new(),
            gathering: Vec::new(),
            flush: watch::channel(0).0,
            _watchers: Vec::new(),
        };
        let apps: Vec<Arc<App>> = generation.ctx.config().apps.iter().cloned().collect();
        for app in
            apps.iter().filter(|app| options.only.as_deref().is_none_or(|only| app.name.as_str() == only))
        {
            generation.work_for(app.clone());
        }
        if options.only.is_none() {
            let (ctx, busy) = (generation.ctx.clone(), Busy::begin(&generation.busy));
            tokio::spawn(async move {
                refusals::finish(ctx).await;
                drop(busy);
            });
            generation.adopt()?;
            for app in apps {
                generation.source(app, options.once)?;
            }
        }
        Ok(generation)
    }

    /// The project as this generation has it.
    pub(crate) fn project(&self) -> &Project {
        &self.ctx.project
    }

    /// Begins nothing new from now on.
    pub(crate) fn end(&self) {
        self.end.send_replace(true);
    }

    fn work_for(&mut self, app: Arc<App>) {
        let (ctx, busy, end) = (self.ctx.clone(), self.busy.clone(), self.end.subscribe());
        let mut jobs = None;
        match self.ctx.doors.enters(&app.name) {
            Enters::Program => self.work_on(&app, Queue::Records, None),
            Enters::Stream => {
                let Some(program) = app.program().cloned() else { return };
                let crew = Crew::start(ctx, app.clone(), program, busy, self.alive.clone(), &end);
                self.streams.push((app.name.clone(), crew.health.clone()));
                jobs = Some(crew.jobs.clone());
            }
            Enters::Gathered(gather) => {
                self.gathering.push(app.name.clone());
                let gathering =
                    Gathering { ctx, app: app.clone(), gather, busy, flush: self.flush.subscribe() };
                tokio::spawn(gathering.serve(end));
            }
            Enters::Waits => {}
        }
        self.work_on(&app, Queue::Deliveries, jobs);
    }

    fn work_on(&mut self, app: &Arc<App>, queue: Queue, jobs: Option<Arc<Jobs>>) {
        self.pools.push((app.name.clone(), queue));
        let pool = Pool::new(self.ctx.clone(), app.clone(), queue, self.busy.clone(), jobs);
        tokio::spawn(pool.serve(self.end.subscribe()));
    }

    fn source(&mut self, app: Arc<App>, once: bool) -> Result<()> {
        if let Some(sources) = self.ctx.built.importers.get(&app.name).cloned() {
            let (watcher, events) = watched::watch()?;
            for source in sources.iter() {
                self.warn_unless(watcher.watch(&source.config.from));
            }
            self.weakness(&watcher);
            self._watchers.push(watcher);
            let (importing, state) =
                Importing::new(self.ctx.clone(), app.clone(), sources, self.busy.clone());
            self.rounds.push(state.scans.clone());
            self.importers.push((app.name.clone(), state));
            tokio::spawn(importing.serve(events, self.end.subscribe()));
        }
        if let Some(schedule) = app.schedule.clone() {
            let rounds: Arc<AtomicUsize> = Arc::default();
            self.rounds.push(rounds.clone());
            let clockwork = Clockwork {
                ctx: self.ctx.clone(),
                app,
                schedule,
                busy: self.busy.clone(),
                rounds,
                catch_up: once,
            };
            tokio::spawn(clockwork.serve(self.end.subscribe()));
        }
        Ok(())
    }

    fn adopt(&mut self) -> Result<()> {
        let (watcher, events) = watched::watch()?;
        self.warn_unless(watcher.watch_data(self.ctx.project.data.root()));
        self._watchers.push(watcher);
        let adopting = Adopting::new(self.ctx.clone(), self.busy.clone());
        self.rounds.push(adopting.scans.clone());
        tokio::spawn(adopting.serve(events, self.end.subscribe()));
        Ok(())
    }

    fn warn_unless(&self, watched: Result<()>) {
        if let Err(e) = watched {
            warn!("{e}; it is looked at every ten seconds instead");
        }
    }

    fn weakness(&self, watcher: &Watcher) {
        if let Some(text) = watcher.weakness() {
            self.ctx.process.observer.tell(Event::Notice(text));
        }
    }
}

/// The folders that exports go to.
pub(crate) fn export_folders(config: &Config) -> Vec<PathBuf> {
    let to = |app: &Arc<App>| match &app.runs {
        Runs::BuiltIn(BuiltIn::Exporter(with)) => with.to.list().to_vec(),
        _ => Vec::new(),
    };
    config.apps.iter().flat_map(to).map(|folder| config.base.join(folder).components().collect()).collect()
}
