"""What every resource of the API shares: who calls, for which advertiser, and what an answer looks like."""
