//! Progress on stderr: bars where a person watches, a plain line now and then where a log does, nothing for JSON.
//!
//! It only listens; nothing waits for it.

use crate::printer::Printer;
use handover_core::{AppName, FileName};
use handover_runtime::engine::events::{Event, Observer};
use handover_runtime::operations::times::{count, number};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often a plain line is written at most.
const LINE_EVERY: Duration = Duration::from_secs(2);
/// So wide is an app's name at most.
const NAME_MAX: usize = 24;

/// The progress of files through apps.
#[derive(Clone)]
pub(crate) struct Progress(Arc<Mutex<Shown>>);

enum Shown {
    Bars { bars: HashMap<AppName, (ProgressBar, u64)>, printer: Printer, _all: MultiProgress },
    Lines { printer: Printer, last: AppName, done: u64, total: u64, said: Option<Instant> },
    Nothing,
}

impl Progress {
    /// Listens from now on. `total` is how many files each of these apps is to finish.
    pub(crate) fn listen(observer: &Observer, printer: Printer, apps: &[AppName], total: u64) -> Self {
        let shown = match apps.last() {
            Some(_) if printer.talks_to_a_person() => bars(apps, printer, total),
            Some(last) if !printer.is_json() => {
                Shown::Lines { printer, last: last.clone(), done: 0, total, said: Some(Instant::now()) }
            }
            _ => Shown::Nothing,
        };
        let progress = Self(Arc::new(Mutex::new(shown)));
        let listening = progress.clone();
        observer.listen(move |event| {
            if let Event::Completed { app, rows_out, output, .. } = event {
                listening.0.lock().unwrap_or_else(PoisonError::into_inner).completed(
                    app,
                    rows_out.unwrap_or(0),
                    output.as_deref(),
                );
            }
        });
        progress
    }

    /// Leaves the bars as they stand.
    pub(crate) fn end(&self) {
        if let Shown::Bars { bars, printer, .. } = &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            bars.values().for_each(|(bar, _)| bar.abandon());
            // The last bar leaves its line open.
            printer.talk("\n");
        }
    }
}

fn bars(apps: &[AppName], printer: Printer, total: u64) -> Shown {
    let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(12));
    let width = apps.iter().map(|app| app.as_str().len()).max().unwrap_or(0).min(NAME_MAX);
    let template = format!("  {{prefix:{width}}} [{{bar:20}}] {{pos:>3}}/{{len}} {{wide_msg}}");
    // A template of ours is right, or the plain style does.
    let style = ProgressStyle::with_template(&template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ");
    let bars = apps
        .iter()
        .map(|app| {
            let bar = all.add(ProgressBar::new(total).with_style(style.clone()).with_prefix(app.to_string()));
            bar.tick();
            (app.clone(), (bar, 0))
        })
        .collect();
    Shown::Bars { bars, printer, _all: all }
}

impl Shown {
    fn completed(&mut self, app: &AppName, rows: u64, output: Option<&str>) {
        match self {
            Self::Bars { bars, .. } => {
                let Some((bar, sum)) = bars.get_mut(app) else { return };
                *sum += rows;
                let name = output
                    .and_then(|path| path.rsplit('/').next())
                    .and_then(|name| name.parse::<FileName>().ok());
                let file = name.map(|name| format!("{} {}", name.type_name, name.date)).unwrap_or_default();
                bar.set_message(format!("{:>7} rows  {file}", number(*sum)));
                bar.inc(1);
            }
            Self::Lines { printer, last, done, total, said } if app == last => {
                *done += 1;
                if *done == *total || said.is_none_or(|said| said.elapsed() >= LINE_EVERY) {
                    *said = Some(Instant::now());
                    printer.talk(format_args!("through: {} of {}", number(*done), count(*total, "file")));
                }
            }
            Self::Lines { .. } | Self::Nothing => {}
        }
    }
}
