"""The audience's pages in the admin, and the base that every other room's pages stand on."""
