-- Roles for programs: an administrator runs this once, with names and passwords of his own.
CREATE ROLE shop LOGIN;
CREATE ROLE biller LOGIN;
CREATE ROLE auditor LOGIN;
SELECT integration.grant_producer('shop');
SELECT integration.grant_consumer('biller');
SELECT integration.grant_reader('auditor');
