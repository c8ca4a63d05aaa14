//! Shows a demo: one live picture on a terminal, else a plain line an event. All of it on stderr.
//!
//! It only draws what the story knows.

use super::story::{Actor, Story};
use crate::local::status_of;
use rafty_agent::output;
use rafty_types::{MemberId, MemberKind, Tenure, printable};
use ratatui::Frame;
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, Show as ShowCursor};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Gauge, Paragraph, Row, Sparkline, Table};
use std::collections::VecDeque;
use std::io::{IsTerminal, Stderr, stderr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

/// How often the picture is drawn at most.
const DRAW_EVERY: Duration = Duration::from_millis(100);
/// How often is asked what the peer set waits for.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// How many lines of news are remembered.
const NEWS: usize = 50;
/// The demo's tenure, for the countdown.
const TENURE_MS: u64 = super::TENURE_S * 1_000;

/// Where a demo is shown.
pub(crate) enum Show {
    /// Plain lines.
    Lines { started: Instant },
    /// A picture.
    Screen(Box<Screen>),
}

/// What is to be seen.
pub(crate) struct Picture<'a> {
    pub(crate) story: &'a Story,
    pub(crate) now_ms: u64,
}

/// The terminal, while it is the demo's.
pub(crate) struct Screen {
    terminal: Terminal<CrosstermBackend<Stderr>>,
    started: Instant,
    rounds: u32,
    drawn: Option<Instant>,
    news: VecDeque<String>,
    waits_for: Arc<Mutex<String>>,
}

impl Show {
    /// On a terminal a picture, else lines.
    pub(crate) fn start(started: Instant, rounds: u32) -> Self {
        let screen = stderr().is_terminal().then(|| Screen::start(started, rounds));
        screen.and_then(Result::ok).map_or(Self::Lines { started }, |screen| Self::Screen(Box::new(screen)))
    }

    /// A line of news.
    pub(crate) fn say(&mut self, text: &str) {
        match self {
            Self::Lines { started } => {
                output::note(format_args!("{:6.1} s  {text}", started.elapsed().as_secs_f64()));
            }
            Self::Screen(screen) => screen.say(text),
        }
    }

    /// From now on it also shows what the members in these directories wait for.
    pub(crate) fn watch(&self, dirs: Vec<PathBuf>) {
        if let Self::Screen(screen) = self {
            ask_what_is_waited_for(dirs, Arc::downgrade(&screen.waits_for));
        }
    }

    /// Draws the picture, if there is one.
    pub(crate) fn draw(&mut self, picture: &Picture<'_>) {
        if let Self::Screen(screen) = self {
            screen.draw(picture);
        }
    }
}

impl Screen {
    fn start(started: Instant, rounds: u32) -> std::io::Result<Self> {
        let terminal = Terminal::new(CrosstermBackend::new(stderr()))?;
        execute!(stderr(), EnterAlternateScreen, Hide)?;
        let waits_for = Arc::new(Mutex::new(String::new()));
        Ok(Self { terminal, started, rounds, drawn: None, news: VecDeque::new(), waits_for })
    }

    fn say(&mut self, text: &str) {
        self.news.push_back(format!("{:6.1} s  {}", self.started.elapsed().as_secs_f64(), printable(text)));
        if self.news.len() > NEWS {
            self.news.pop_front();
        }
        // Before there is a story, news is all there is to see.
        if self.drawn.is_none() {
            let news: Vec<Line<'_>> = self.news.iter().map(|line| Line::from(line.as_str())).collect();
            let _ = self.terminal.draw(|frame| frame.render_widget(Paragraph::new(news), frame.area()));
        }
    }

    fn draw(&mut self, picture: &Picture<'_>) {
        if self.drawn.is_some_and(|drawn| drawn.elapsed() < DRAW_EVERY) {
            return;
        }
        self.drawn = Some(Instant::now());
        let waits_for = self.waits_for.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let scene = Scene {
            picture,
            rounds: self.rounds,
            seconds: self.started.elapsed().as_secs(),
            news: &self.news,
            waits_for: &waits_for,
        };
        // A terminal that cannot be drawn to is no reason to stop training.
        let _ = self.terminal.draw(|frame| scene.render(frame));
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = execute!(stderr(), LeaveAlternateScreen, ShowCursor);
    }
}

/// One picture.
struct Scene<'a> {
    picture: &'a Picture<'a>,
    rounds: u32,
    seconds: u64,
    news: &'a VecDeque<String>,
    waits_for: &'a str,
}

impl Scene<'_> {
    fn render(&self, frame: &mut Frame<'_>) {
        let members = u16::try_from(self.picture.story.actors.len()).unwrap_or(u16::MAX);
        let rows = [
            Constraint::Length(1),
            Constraint::Length(1),
            Constraint::Length(members.saturating_add(3)),
            Constraint::Length(5),
            Constraint::Length(1),
            Constraint::Min(3),
        ];
        let [title, tenure, table, accuracy, waits, news] = Layout::vertical(rows).areas(frame.area());
        frame.render_widget(self.title(), title);
        self.tenure(frame, tenure);
        frame.render_widget(self.members(), table);
        self.accuracy(frame, accuracy);
        frame.render_widget(Line::from(format!("waits for: {}", self.waits_for)), waits);
        frame.render_widget(self.latest(news), news);
    }

    fn title(&self) -> Line<'_> {
        let story = self.picture.story;
        let best = story.accuracies().last().map_or("-".into(), |share| format!("{:.1} %", share * 100.0));
        let bold = Style::new().add_modifier(Modifier::BOLD);
        let (done, all, seconds) = (story.published_rounds(), self.rounds, self.seconds);
        Line::from(vec![
            Span::styled("rafty demo", bold),
            Span::raw(format!(
                "   round {done} of {all} published   accuracy {best}   {seconds} s   Ctrl-C stops"
            )),
        ])
    }

    fn tenure(&self, frame: &mut Frame<'_>, area: Rect) {
        let story = self.picture.story;
        let Some((tenure, fact)) = story.tenure() else { return };
        let spent = self.picture.now_ms.saturating_sub(fact.began_ms);
        let left = TENURE_MS.saturating_sub(spent);
        let label = tenure_label(tenure, &story.name(fact.aggregator), left);
        let ratio = left as f64 / TENURE_MS as f64;
        frame.render_widget(Gauge::default().ratio(ratio).label(label).gauge_style(Color::Cyan), area);
    }

    fn members(&self) -> Table<'_> {
        let story = self.picture.story;
        let aggregator = story.tenure().map(|(_, fact)| fact.aggregator);
        let head = Row::new(["", "member", "role", "tenures", "version", "update", "does"]);
        let rows = story.actors.iter().map(|(id, actor)| self.member(*id, actor, aggregator));
        let widths = [4, 10, 12, 8, 8, 12, 40].map(Constraint::Length);
        Table::new(rows, widths)
            .header(head.style(Style::new().add_modifier(Modifier::DIM)))
            .block(Block::new().borders(Borders::TOP | Borders::BOTTOM))
    }

    fn member(&self, id: MemberId, actor: &Actor, aggregator: Option<MemberId>) -> Row<'_> {
        let story = self.picture.story;
        let tenures = story.tenures.values().filter(|tenure| tenure.aggregator == id).count();
        let update = story.open_round().and_then(|(_, round)| round.accepted.get(&id).copied());
        let update = update.map_or(String::new(), |examples| format!("in ({examples})"));
        let is_aggregator = aggregator == Some(id) && actor.up;
        let role = if is_aggregator { "aggregator".into() } else { actor.kind.to_string() };
        let style = match actor {
            Actor { up: false, .. } => Style::new().fg(Color::Red),
            _ if is_aggregator => Style::new().fg(Color::Yellow),
            Actor { kind: MemberKind::Operator, .. } => Style::new().add_modifier(Modifier::DIM),
            _ => Style::new(),
        };
        // The number is what `waits for` calls it.
        let (number, name, version) = (id.to_string(), actor.name.clone(), actor.version.to_string());
        Row::new([number, name, role, tenures.to_string(), version, update, actor.doing.clone()]).style(style)
    }

    fn accuracy(&self, frame: &mut Frame<'_>, area: Rect) {
        let shares = self.picture.story.accuracies();
        let per_mille: Vec<u64> = shares.iter().map(|share| (share * 1_000.0) as u64).collect();
        let latest: Vec<String> =
            shares.iter().rev().take(8).rev().map(|share| format!("{:.1}", share * 100.0)).collect();
        let title = format!("accuracy by round, in %: {}", latest.join(" "));
        let bars = Sparkline::default().data(&per_mille).max(1_000).style(Color::Green);
        frame.render_widget(bars.block(Block::new().title(title)), area);
    }

    fn latest(&self, area: Rect) -> Paragraph<'_> {
        let room = usize::from(area.height.saturating_sub(1));
        let from = self.news.len().saturating_sub(room);
        let lines: Vec<Line<'_>> =
            self.news.iter().skip(from).map(|line| Line::from(line.as_str())).collect();
        Paragraph::new(lines).block(Block::new().borders(Borders::TOP))
    }
}

fn tenure_label(tenure: Tenure, aggregator: &str, left_ms: u64) -> String {
    if left_ms == 0 {
        return format!("tenure {tenure}: {aggregator} finishes its round");
    }
    format!("tenure {tenure}: {aggregator}, {}.{} s left", left_ms / 1_000, left_ms % 1_000 / 100)
}

/// Asks now and then, on a thread of its own, until nobody wants to know.
fn ask_what_is_waited_for(dirs: Vec<PathBuf>, answer: Weak<Mutex<String>>) {
    std::thread::spawn(move || {
        while let Some(answer) = answer.upgrade() {
            if let Some(status) = status_of(dirs.iter().map(PathBuf::as_path)) {
                let waits_for = printable(&status.node.waiting_for);
                *answer.lock().unwrap_or_else(PoisonError::into_inner) = waits_for;
            }
            drop(answer);
            std::thread::sleep(ASK_EVERY);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::backend::TestBackend;

    #[test]
    fn a_picture_shows_members_and_what_is_waited_for() {
        let agent = (MemberId(4), "agent 1".to_string(), MemberKind::Agent);
        let mut story = Story::with_actors([agent]);
        story.scored(rafty_types::Round(1), 0.876);
        let picture = Picture { story: &story, now_ms: 0 };
        let news = VecDeque::from(["round 1 is open".to_string()]);
        let scene =
            Scene { picture: &picture, rounds: 3, seconds: 9, news: &news, waits_for: "updates of agent 1" };
        for (width, height) in [(100, 30), (20, 5), (1, 1)] {
            let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
            terminal.draw(|frame| scene.render(frame)).unwrap();
            let text: String =
                terminal.backend().buffer().content().iter().map(|cell| cell.symbol()).collect();
            if width == 100 {
                for part in ["agent 1", "waits for: updates of agent 1", "87.6", "round 1 is open"] {
                    assert!(text.contains(part), "{part} in {text}");
                }
            }
        }
    }
}
