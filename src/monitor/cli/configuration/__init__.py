"""Configuration as code: files of webhooks and silences, and the plan that makes a server agree with one."""
