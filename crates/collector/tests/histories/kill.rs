//! A future that is dropped halfway, as when a sandbox is killed.

use std::pin::Pin;
use std::task::{Context, Poll};

/// Polls `work` up to `polls` times and then drops it. Returns `None` if it was not finished by then.
pub(crate) async fn killed_after<T>(polls: u64, work: impl Future<Output = T>) -> Option<T> {
    Limited { work: Some(Box::pin(work)), polls }.await
}

struct Limited<F> {
    work: Option<Pin<Box<F>>>,
    polls: u64,
}

impl<F: Future> Future for Limited<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.polls == 0 {
            self.work = None;
            return Poll::Ready(None);
        }
        self.polls -= 1;
        match &mut self.work {
            Some(work) => work.as_mut().poll(context).map(Some),
            None => Poll::Ready(None),
        }
    }
}
