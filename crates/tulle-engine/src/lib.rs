//! Compiled data-plane configuration and every decision made from it, without sockets or clocks.
