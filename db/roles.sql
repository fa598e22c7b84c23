-- Create the two roles and the database of a new Postgres cluster. The owner of the tables runs migrations; row-level
-- security limits the application to one tenant at a time. Run it with psql as a superuser, with both passwords in the
-- environment.
\set ON_ERROR_STOP on
\getenv owner_password OWNER_PASSWORD
\getenv application_password APPLICATION_PASSWORD

CREATE ROLE ai_agents_owner LOGIN NOSUPERUSER NOBYPASSRLS PASSWORD :'owner_password';
CREATE ROLE ai_agents LOGIN NOSUPERUSER NOBYPASSRLS PASSWORD :'application_password';
CREATE DATABASE ai_agents OWNER ai_agents_owner ENCODING 'UTF8' TEMPLATE template0;
REVOKE ALL ON DATABASE ai_agents FROM PUBLIC;
GRANT CONNECT ON DATABASE ai_agents TO ai_agents;

\connect ai_agents
-- Works only with shared_preload_libraries = pg_stat_statements; support reads slow queries from it.
CREATE EXTENSION pg_stat_statements;
