-- The two roles and the database, for a new Postgres cluster: the owner of the tables, for migrations, and the
-- application, which row-level security holds to one tenant at a time. Run it with psql as a superuser, with both
-- passwords in the environment.
\set ON_ERROR_STOP on
\getenv owner_password OWNER_PASSWORD
\getenv application_password APPLICATION_PASSWORD

CREATE ROLE ai_agents_owner LOGIN NOSUPERUSER NOBYPASSRLS PASSWORD :'owner_password';
CREATE ROLE ai_agents LOGIN NOSUPERUSER NOBYPASSRLS PASSWORD :'application_password';
CREATE DATABASE ai_agents OWNER ai_agents_owner ENCODING 'UTF8' TEMPLATE template0;
REVOKE ALL ON DATABASE ai_agents FROM PUBLIC;
GRANT CONNECT ON DATABASE ai_agents TO ai_agents;

\connect ai_agents
-- Needs shared_preload_libraries = pg_stat_statements to show anything; support asks it for slow queries.
CREATE EXTENSION pg_stat_statements;
