# Three services on one base. `contexts` links base's result into each; a project id gives a target its own runner and
# cache, if the scenario says `projects: from_bake`.
variable "TAG" {
  default = "dev"
}

group "default" {
  targets = ["app", "db", "cron"]
}

target "_common" {
  context   = "."
  platforms = ["linux/amd64", "linux/arm64"]
}

target "base" {
  inherits   = ["_common"]
  dockerfile = "base.Dockerfile"
  project_id = "project-base"
}

target "app" {
  inherits   = ["_common"]
  dockerfile = "packages/app/Dockerfile"
  contexts   = { base = "target:base" }
  tags       = ["monorepo/app:${TAG}"]
  project_id = "project-app"
}

target "db" {
  inherits   = ["_common"]
  dockerfile = "packages/db/Dockerfile"
  contexts   = { base = "target:base" }
  tags       = ["monorepo/db:${TAG}"]
  project_id = "project-db"
}

target "cron" {
  inherits   = ["_common"]
  dockerfile = "packages/cron/Dockerfile"
  contexts   = { base = "target:base" }
  tags       = ["monorepo/cron:${TAG}"]
  project_id = "project-cron"
}
