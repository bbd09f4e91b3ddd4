//! Calls of what a caller has written, whose panics must go no further (K9).

use std::any::Any;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Makes a call that may panic: what it gives, or a predicate with what its panic said, as in
/// "panicked: out of order". Whatever the call works on is not to be relied upon after a panic.
///
/// Does not unwind, not even if what the panic left panics when it is dropped.
///
/// # Errors
///
/// That the call panicked.
pub fn guarded<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| {
        let said = said(&*panic);
        discard(panic);
        said
    })
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    match text {
        Some(text) => format!("panicked: {text}"),
        None => "panicked".to_owned(),
    }
}

/// Drops what a panic left, which may panic in its turn; what that leaves is let go.
fn discard(panic: Box<dyn Any + Send>) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        mem::forget(again);
    }
}

#[cfg(test)]
mod tests {
    use std::panic::resume_unwind;

    use super::*;

    /// Panics when it is dropped, with what panics again then.
    struct Again;

    impl Drop for Again {
        fn drop(&mut self) {
            resume_unwind(Box::new(Once))
        }
    }

    /// Panics when it is dropped.
    struct Once;

    impl Drop for Once {
        fn drop(&mut self) {
            resume_unwind(Box::new("dropped"))
        }
    }

    #[test]
    fn what_a_call_gives_is_given() {
        assert_eq!(guarded(|| 7), Ok(7));
    }

    #[test]
    fn what_a_panic_said_is_told() {
        let words = guarded(|| resume_unwind(Box::new("out of order")));
        assert_eq!(words, Err::<(), _>("panicked: out of order".to_owned()));
        let owned = guarded(|| resume_unwind(Box::new(String::from("again"))));
        assert_eq!(owned, Err::<(), _>("panicked: again".to_owned()));
    }

    #[test]
    fn what_a_panic_leaves_does_not_unwind_either() {
        let nothing_said = Err::<(), _>("panicked".to_owned());
        assert_eq!(guarded(|| resume_unwind(Box::new(Again))), nothing_said);
    }
}
