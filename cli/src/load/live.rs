//! What standard error shows while a run lasts: a view that is drawn anew in place, or lines.
//!
//! The view hides no cursor and changes no setting of the terminal, so there is nothing to be restored, however the
//! process ends. It is written by the thread of [`lakh_core::stderr`]: a terminal that is stopped holds up no run.

use crate::{
    screen::{Screen, size},
    terminal,
};
use lakh_core::stderr;
use lakh_loadtest::{Plan, engine::News, progress::Progress, report::Paint};
use std::{
    io::{self, IsTerminal},
    time::Duration,
};

/// How long the end waits for whoever reads standard error, so that the report comes behind the view.
const LAST_FRAME: Duration = Duration::from_millis(500);

/// What tells a person how the run goes.
pub(crate) struct Live {
    progress: Progress,
    screen: Option<Screen>,
    paint: Paint,
}

impl Live {
    /// A view if standard error is a terminal and `plain` is not asked for, lines otherwise.
    pub(crate) fn new(plan: &Plan, plain: bool) -> Self {
        let view = !plain && !terminal::is_dumb() && io::stderr().is_terminal();
        let paint = super::paint(&io::stderr());
        let screen = view.then(Screen::default);
        let mut live = Live { progress: Progress::new(plan), screen, paint };
        live.draw();
        live
    }

    /// Tells of another second.
    pub(crate) fn tell(&mut self, news: &News<'_>) {
        self.progress.add(news.phase, &news.sample);
        if self.screen.is_some() {
            self.draw();
        } else if let Some(line) = self.progress.line() {
            stderr::print(&format!("{line}\n"));
        }
    }

    fn draw(&mut self) {
        let Some(screen) = &mut self.screen else { return };
        let (columns, rows) = size(io::stderr());
        let plain = self.progress.view(columns, rows, Paint::PLAIN);
        let painted = self.progress.view(columns, rows, self.paint);
        stderr::print(&screen.draw(&plain, &painted, columns));
    }

    /// Takes the view away: what follows stands in its place.
    pub(crate) fn finish(mut self) {
        if let Some(screen) = &mut self.screen {
            stderr::print(&screen.erase(size(io::stderr()).0));
            // Else it would erase what is written next.
            stderr::flush(LAST_FRAME);
        }
    }
}
