//! The parameters of lists, and the pages that were made for them.

use std::collections::HashMap;

use crate::answer::Page;

/// A repository's cached pages are dropped when they exceed this size in total.
const MAX_KEPT_BYTES: usize = 64 * 1024 * 1024;

/// Cached pages. Building them again for every request would dominate a benchmark.
#[derive(Debug, Default)]
pub(crate) struct Pages {
    pub(crate) kept: HashMap<PageKey, (Page, usize)>,
    /// Numbers of pull requests in the order of a list.
    pub(crate) orders: HashMap<Order, Vec<i64>>,
    bytes: usize,
}

/// Everything that a page depends on besides its repository.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct PageKey {
    pub(crate) api: String,
    pub(crate) listing: Listing,
    pub(crate) is_slim_version: bool,
    pub(crate) gzip: bool,
}

impl Pages {
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn keep(&mut self, key: PageKey, page: Page, pages: usize) {
        if self.bytes + page.len() > MAX_KEPT_BYTES {
            self.clear();
        }
        self.bytes += page.len();
        self.kept.insert(key, (page, pages));
    }
}

/// The parameters of a list of pull requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Listing {
    pub(crate) order: Order,
    pub(crate) paging: Paging,
}

/// The items of a list and their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Order {
    pub(crate) state: PullState,
    pub(crate) by_update: bool,
    pub(crate) descending: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum PullState {
    Open,
    Closed,
    All,
}

/// Which page, and how many items are on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Paging {
    pub(crate) per_page: usize,
    pub(crate) page: usize,
}
