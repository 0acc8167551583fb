//! Panics that are an answer: of some damage to a file redb does not return an error but panics.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    /// Whether this thread reads what may be damaged, and says itself what came of it.
    static IS_QUIET: Cell<bool> = const { Cell::new(false) };
}

/// What `read` returns, `None` when it panicked. Nothing is printed of a panic on this thread meanwhile; others are told
/// as ever.
pub fn caught<T>(read: impl FnOnce() -> T) -> Option<T> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let told = take_hook();
        set_hook(Box::new(move |panic| {
            // A thread that is ending has no such mark any more.
            if !IS_QUIET.try_with(Cell::get).unwrap_or_default() {
                told(panic);
            }
        }));
    });
    let before = IS_QUIET.replace(true);
    let read = catch_unwind(AssertUnwindSafe(read)).ok();
    IS_QUIET.set(before);
    read
}
