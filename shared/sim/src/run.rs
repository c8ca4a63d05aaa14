//! Runs of seeds: one by one or side by side, with what failed caught and told again.

use crate::recovery;
use crate::slow_links;
use crate::story::{self, Outcome, Plan};
use crate::world::World;
use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;
use std::time::Duration;

/// A run came to a bad end.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What did not hold, and where in the code it was noticed.
    pub what: String,
}

impl Failure {
    /// What names the property: enough to tell whether another run fails alike.
    pub fn kind(&self) -> &str {
        let line = self.what.lines().next().unwrap_or_default();
        let end = [line.find(':'), line.find(" (")].into_iter().flatten().min();
        &line[..end.unwrap_or(line.len())]
    }
}

thread_local! {
    /// What the last panic of this thread said. `None` while panics are nobody's business here.
    static SAID: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Tells a plan.
///
/// # Errors
/// What did not hold.
pub fn run(plan: &Plan) -> Result<Outcome, Failure> {
    tell(plan, &mut story::world(plan))
}

/// Tells the story of a lost majority of this seed.
///
/// # Errors
/// What did not hold.
pub fn recover(seed: u64) -> Result<(), Failure> {
    caught(|| recovery::tell(seed)).map_err(|what| Failure { what })
}

/// Tells the story of slow links of this seed. Returns how long its rounds took.
///
/// # Errors
/// What did not hold.
pub fn over_slow_links(seed: u64) -> Result<Duration, Failure> {
    caught(|| slow_links::tell(seed)).map_err(|what| Failure { what })
}

/// Tells a plan with its story, however it ends.
pub fn listen(plan: &Plan) -> (Result<Outcome, Failure>, Vec<String>) {
    let mut world = story::world(plan);
    world.trace.listen();
    let told = tell(plan, &mut world);
    (told, world.trace.lines().map(str::to_string).collect())
}

fn tell(plan: &Plan, world: &mut World) -> Result<Outcome, Failure> {
    caught(|| story::tell(plan, world)).map_err(|what| Failure { what })
}

/// Does something, and gives what it said when it panicked.
fn caught<T>(act: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let listens = SAID.with_borrow(Option::is_some);
            if listens {
                let at = info.location().map(|at| format!(" ({}:{})", at.file(), at.line()));
                let text = info.payload_as_str().unwrap_or("a panic without words");
                let text = text.strip_prefix("assertion `left == right` failed: ").unwrap_or(text);
                let what = format!("{text}{}", at.unwrap_or_default());
                SAID.with_borrow_mut(|said| *said = Some(what));
            } else {
                before(info);
            }
        }));
    });
    SAID.with_borrow_mut(|said| *said = Some(String::new()));
    let done = panic::catch_unwind(AssertUnwindSafe(act));
    let said = SAID.with_borrow_mut(Option::take);
    done.map_err(|_| said.unwrap_or_default())
}
